package data

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/key"
)

func TestMoreObjectsMoveNone(t *testing.T) {
	all := many(150)
	whole, _ := stored(t, Frame{}, Options{}, all)
	rapid.Check(t, func(rt *rapid.T) {
		order := rapid.Permutation(indices(150)).Draw(rt, "order")[:rapid.IntRange(1, 150).Draw(rt, "n")]
		by := rapid.SampledFrom([]string{"id", "tile", "z"}).Draw(rt, "by")
		seed := rapid.Uint64().Draw(rt, "seed")
		valid, test := rapid.Float64Range(0, 0.3).Draw(rt, "valid"), rapid.Float64Range(0, 0.3).Draw(rt, "test")
		less := many(0)
		for _, i := range order {
			less.all = append(less.all, all.all[i])
			less.catalogue.Count++
		}
		some, _ := stored(t, Frame{}, Options{}, less)
		a, errA := Split(whole, by, valid, test, seed)
		b, errB := Split(some, by, valid, test, seed)
		if errA != nil || errB != nil {
			// With few objects, or few tiles, none may be left for training; then it must be said.
			if errB == nil {
				errB = errA
			}
			wantFault(t, errB, fault.Data, "training")
			return
		}
		if len(a.Train)+len(a.Valid)+len(a.Test) != 150 || !slices.IsSorted(a.Train) || !slices.IsSorted(a.Valid) || !slices.IsSorted(a.Test) {
			rt.Fatalf("the parts are not the rows: %v", a)
		}
		for row, i := range order {
			if a.Part(i) != b.Part(row) {
				rt.Fatalf("%s is in part %d of all and in part %d of some", whole.ID(i), a.Part(i), b.Part(row))
			}
		}
	})
}

func indices(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	return p
}

func TestSplitByID(t *testing.T) {
	s, _ := stored(t, Frame{}, Options{}, many(4000))
	p, err := Split(s, "id", 0.1, 0.2, 7)
	if err != nil {
		t.Fatal(err)
	}
	// four standard deviations of a binomial
	for _, c := range []struct {
		name string
		rows []int
		p    float64
	}{{"train", p.Train, 0.7}, {"valid", p.Valid, 0.1}, {"test", p.Test, 0.2}} {
		if d := math.Abs(float64(len(c.rows)) - 4000*c.p); d > 4*math.Sqrt(4000*c.p*(1-c.p)) {
			t.Errorf("%s has %d of 4000 objects", c.name, len(c.rows))
		}
	}
	for row := range 100 { // the rule as it is written down
		u := key.New(7, "split").At(0, key.Sample(s.ID(row))).Uniform()
		want := 0
		if u < 0.1 {
			want = 1
		} else if u < 0.1+0.2 {
			want = 2
		}
		if p.Part(row) != want {
			t.Errorf("%s with u=%g is in part %d", s.ID(row), u, p.Part(row))
		}
	}
	if p.Part(-1) != -1 || p.Part(4000) != -1 {
		t.Error("rows that are not there have a part")
	}
	other, err := Split(s, "id", 0.1, 0.2, 8)
	if err != nil || slices.Equal(other.Test, p.Test) {
		t.Errorf("another seed gives the same test part (%v)", err)
	}
	none, err := Split(s, "", 0, 0, 7)
	if err != nil || len(none.Train) != 4000 {
		t.Errorf("without shares %d objects are for training (%v)", len(none.Train), err)
	}
}

func TestSplitByColumnKeepsGroupsTogether(t *testing.T) {
	s, _ := stored(t, Frame{}, Options{}, many(1000))
	p, err := Split(s, "tile", 0.2, 0.3, 3)
	if err != nil {
		t.Fatal(err)
	}
	tile, _ := s.Column("tile")
	part := map[float64]int{}
	for row := range s.Len() {
		if before, ok := part[tile.Values[row]]; ok && before != p.Part(row) {
			t.Fatalf("tile %s is in parts %d and %d", tile.Categories[int(tile.Values[row])], before, p.Part(row))
		}
		part[tile.Values[row]] = p.Part(row)
	}
	if len(p.Test) == 0 || len(p.Valid)+len(p.Test) == 1000 {
		t.Errorf("parts of %d, %d and %d", len(p.Train), len(p.Valid), len(p.Test))
	}
	// Missing values (every fifth z) are no group: those objects fall apart.
	p, err = Split(s, "z", 0.2, 0.3, 3)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[int]int{}
	for row := 0; row < s.Len(); row += 5 {
		parts[p.Part(row)]++
	}
	if len(parts) != 3 {
		t.Errorf("objects without a value are in the parts %v", parts)
	}
}

func TestSplitsThatCannotBe(t *testing.T) {
	s, _ := stored(t, Frame{}, Options{}, many(3))
	for _, c := range []struct {
		by          string
		valid, test float64
		kind        fault.Kind
		words       []string
	}{
		{"Tile", .1, .1, fault.Config, []string{`"Tile"`, "id, z, tile"}},
		{"id", -.1, .1, fault.Config, []string{"-0.1", "data.split.valid"}},
		{"id", .1, math.NaN(), fault.Config, []string{"NaN", "data.split.test"}},
		{"id", .5, .5, fault.Config, []string{"none are left"}},
		{"id", .4999, .5, fault.Data, []string{"none of 3", "smaller"}},
	} {
		p, err := Split(s, c.by, c.valid, c.test, 1)
		if err == nil {
			t.Errorf("%+v gives %v", c, p)
			continue
		}
		wantFault(t, err, c.kind, c.words...)
	}
}
