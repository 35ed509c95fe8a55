package data

import (
	"context"
	"fmt"
	"testing"

	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// endless gives records of one image, to measure what is ours.
type endless struct {
	dtype protocol.DType
	count int
	names []string
	image plugin.Record
}

func survey(dtype protocol.DType, count int) *endless {
	e := &endless{dtype: dtype, count: count, image: plugin.Record{Shape: []int{88, 88, 3}}}
	n := 88 * 88 * 3
	x := uint32(1)
	for range n {
		x = 1664525*x + 1013904223
		if dtype == u8 {
			e.image.U8 = append(e.image.U8, byte(x>>24))
		} else {
			e.image.F32 = append(e.image.F32, float32(int32(x))*1e-6)
		}
	}
	for i := range count {
		e.names = append(e.names, fmt.Sprint("galaxy", i))
	}
	return e
}

func (e *endless) Open(context.Context) (*protocol.Catalogue, error) {
	return &protocol.Catalogue{Count: uint64(e.count), Dtype: e.dtype, Facts: &protocol.SampleFacts{Shape: []int64{88, 88, 3}, Bands: []string{"g", "r", "i"}}}, nil
}

func (e *endless) Read(_ context.Context, first, count int) ([]plugin.Record, error) {
	all := make([]plugin.Record, count)
	for i := range all {
		all[i] = e.image
		all[i].Index, all[i].ID = first+i, e.names[first+i]
	}
	return all, nil
}

// images is how many the benchmarks use: 280 MB of bytes.
const images = 12000

func BenchmarkIngest(b *testing.B) {
	for _, dtype := range []protocol.DType{u8, f32} {
		b.Run(dtype.String(), func(b *testing.B) {
			e := survey(dtype, images/4)
			for b.Loop() {
				if _, err := Ingest(b.Context(), b.TempDir(), []Source{e}, Frame{Size: []int{80}}, Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(e.count)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

func BenchmarkGather(b *testing.B) {
	for _, dtype := range []protocol.DType{u8, f32} {
		b.Run(dtype.String(), func(b *testing.B) {
			s := benchStore(b, dtype, images)
			rows, dst := make([]int, 128), make([]float32, 128*s.length)
			at := 0
			b.ReportAllocs()
			for b.Loop() {
				for i := range rows {
					at = (at + 7919) % s.Len()
					rows[i] = at
				}
				if err := s.Gather(dst, rows); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*128/b.Elapsed().Seconds(), "images/s")
		})
	}
}

func BenchmarkStatistics(b *testing.B) {
	for _, dtype := range []protocol.DType{u8, f32} {
		b.Run(dtype.String(), func(b *testing.B) {
			n := images
			if dtype == f32 {
				n /= 4
			}
			s := benchStore(b, dtype, n)
			rows := make([]int, n)
			for i := range rows {
				rows[i] = i
			}
			b.SetBytes(int64(n * s.length * map[bool]int{true: 1, false: 4}[dtype == u8]))
			for b.Loop() {
				if _, err := Statistics(s, rows); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	if _, err := Ingest(b.Context(), dir, []Source{survey(u8, images)}, Frame{Size: []int{16}}, Options{}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

func benchStore(b *testing.B, dtype protocol.DType, n int) *Store {
	dir := b.TempDir()
	if _, err := Ingest(b.Context(), dir, []Source{survey(dtype, n)}, Frame{}, Options{}); err != nil {
		b.Fatal(err)
	}
	s, err := Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}
