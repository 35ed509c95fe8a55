package data

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// golden runs the generator of testdata/statistics.py.
func golden(dtype protocol.DType) *records {
	const rows, pixels, bands = 50, 35, 3
	d := dataset(dtype, 1, "gri", 7, 5)
	if dtype == u8 {
		d.catalogue.Scale = 0.25
	}
	x := uint32(12345)
	for r := range rows {
		px := make([]float32, 0, pixels*bands)
		for range pixels {
			for b := range bands {
				x = 1664525*x + 1013904223
				u := float64(x>>8) / (1 << 24)
				switch {
				case dtype == u8:
					px = append(px, float32(x>>24>>[]int{0, 3, 7}[b]))
				case b == 0:
					px = append(px, float32(float64(u*4)-1))
				case b == 1 && u < 0.1:
					px = append(px, 0)
				case b == 1:
					px = append(px, float32(math.Pow(u, 3)*1e4))
				default:
					px = append(px, float32((u-0.5)*1e-9))
				}
			}
		}
		d.add(fmt.Sprint(r), nil, px...)
	}
	return d
}

func TestStatisticsAgreeWithNumpy(t *testing.T) {
	var want map[string][]struct {
		Mean, Deviation, Median, Mad float64
		Percentiles                  []float64
	}
	if err := json.Unmarshal([]byte(read(t, "testdata/statistics.json")), &want); err != nil {
		t.Fatal(err)
	}
	var rows []int
	for r := 3; r < 50; r += 4 {
		rows = append(rows, r)
	}
	for _, dtype := range []protocol.DType{u8, f32} {
		s, _ := stored(t, Frame{}, Options{batchBytes: 3000}, golden(dtype))
		if dtype == u8 != s.u8 {
			t.Fatalf("the store is not of %v", dtype)
		}
		got, err := Statistics(s, rows)
		if err != nil {
			t.Fatal(err)
		}
		for b, g := range got {
			w := want[dtype.String()][b]
			// 1e-7 for distances rounded to float32 and for numpy's pow, one rounding apart; the rest is float64
			near := func(what string, got, want, tolerance float64) {
				t.Helper()
				if !(math.Abs(got-want) <= tolerance*w.Deviation) {
					t.Errorf("%v band %s: %s is %.17g, numpy says %.17g", dtype, g.Band, what, got, want)
				}
			}
			near("mean", g.Mean, w.Mean, 1e-9)
			near("deviation", g.Deviation, w.Deviation, 1e-9)
			near("median", g.Median, w.Median, 1e-7)
			near("MAD", g.Mad, w.Mad, 1e-7)
			if !reflect.DeepEqual(g.PercentileLevels, Levels) || len(g.Percentiles) != len(Levels) {
				t.Fatalf("percentiles %v at %v", g.Percentiles, g.PercentileLevels)
			}
			for i, p := range g.Percentiles {
				near(fmt.Sprint("percentile ", Levels[i]), p, w.Percentiles[i], 1e-7)
			}
		}
	}
}

func TestStatisticsDoNotDependOnThreads(t *testing.T) {
	d := dataset(f32, 1, "gr", 64, 64)
	x := uint32(1)
	for r := range 200 {
		px := make([]float32, 2*64*64)
		for i := range px {
			x = 1664525*x + 1013904223
			px[i] = float32(int32(x)) * 1e-3
		}
		d.add(fmt.Sprint(r), nil, px...)
	}
	s, _ := stored(t, Frame{}, Options{}, d)
	rows := make([]int, s.Len())
	for i := range rows {
		rows[i] = i
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var first []*protocol.BandStatistics
	for _, threads := range []int{1, 2, 5} {
		runtime.GOMAXPROCS(threads)
		got, err := Statistics(s, rows)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
		}
		for b := range got {
			if got[b].String() != first[b].String() || got[b].Mean != first[b].Mean || got[b].Deviation != first[b].Deviation {
				t.Errorf("with %d threads: %v, with 1: %v", threads, got[b], first[b])
			}
		}
	}
}

func TestStatisticsOfFewAndOfNothing(t *testing.T) {
	s, _ := stored(t, Frame{}, Options{}, dataset(f32, 1, "g").add("one", nil, -2.5))
	got, err := Statistics(s, []int{0})
	if err != nil {
		t.Fatal(err)
	}
	if g := got[0]; g.Mean != -2.5 || g.Median != -2.5 || g.Deviation != 0 || g.Mad != 0 || g.Percentiles[0] != -2.5 || g.Percentiles[6] != -2.5 {
		t.Errorf("statistics of one value: %v", g)
	}
	_, err = Statistics(s, nil)
	wantFault(t, err, fault.Internal, "no rows")
	_, err = Statistics(s, []int{1})
	wantFault(t, err, fault.Internal, "row 1")
}
