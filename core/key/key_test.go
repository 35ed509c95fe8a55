package key

import (
	"fmt"
	"math"
	"sort"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

// The numbers were computed independently, in Python, from the description in this package.
func ExampleNew() {
	s := New(7, "view", "query", "sky.rotate/0").At(3, Sample("PGC0000212"))
	fmt.Printf("%.6f %.6f\n", s.Uniform(), s.Uniform())
	again := New(7, "view", "query", "sky.rotate/0").At(3, Sample("PGC0000212"))
	fmt.Printf("%.6f\n", again.Uniform())
	// Output:
	// 0.682015 0.563850
	// 0.682015
}

// The known answers of Philox4x32-10 published with Random123 (Salmon et al. 2011), file kat_vectors.
func TestPublishedVectors(t *testing.T) {
	for _, v := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, [2]uint32{0xffffffff, 0xffffffff}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := Philox(v.counter, v.key); got != v.want {
			t.Errorf("Philox(%08x, %08x) = %08x, published is %08x", v.counter, v.key, got, v.want)
		}
	}
}

// Keys differ when any part of their names does, also where names run together.
func TestKeysAreApart(t *testing.T) {
	seen := map[Key]string{}
	for name, k := range map[string]Key{
		"seed": New(1, "view"), "other seed": New(2, "view"), "other purpose": New(1, "init"), "path": New(1, "view", "a"),
		"joined": New(1, "view", "ab"), "parted": New(1, "view", "a", "b"), "digits": New(11, "view"), "moved": New(1, "1view"),
	} {
		if other, twice := seen[k]; twice {
			t.Errorf("%s and %s have one key", name, other)
		}
		seen[k] = name
	}
}

// The same draw gives the same number whatever was drawn before elsewhere.
func TestDrawsDependOnNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := New(rapid.Uint64().Draw(t, "seed"), "view")
		epoch, sample := rapid.Uint64Range(0, 1<<32-1).Draw(t, "epoch"), rapid.Uint64().Draw(t, "sample")
		a, b := k.At(epoch, sample), k.At(epoch, sample)
		other := k.At(epoch, sample+1)
		for i := range 9 {
			other.Normal()
			if x, y := a.Uniform(), b.Uniform(); x != y || x < 0 || x >= 1 {
				t.Fatalf("draw %d gave %g and %g", i, x, y)
			}
		}
	})
}

func TestIntnIsFairAndInside(t *testing.T) {
	s := New(1, "test").At(0, 0)
	counts := make([]int, 7)
	const draws = 70000
	for range draws {
		counts[s.Intn(len(counts))]++
	}
	chi2 := 0.0
	for _, c := range counts {
		d := float64(c) - draws/7
		chi2 += d * d / (draws / 7)
	}
	if chi2 > 22.5 { // 99.9 % of χ² with 6 degrees of freedom
		t.Errorf("counts %v have χ² = %.1f", counts, chi2)
	}
}

func TestNormalsAreNormal(t *testing.T) {
	s := New(1, "test").At(0, 1)
	x := make([]float64, 40000)
	for i := range x {
		x[i] = s.Normal()
	}
	sort.Float64s(x)
	largest := 0.0 // Kolmogorov and Smirnov's distance
	for i, v := range x {
		largest = max(largest, math.Abs(0.5*math.Erfc(-v/math.Sqrt2)-float64(i)/float64(len(x))))
	}
	if largest > 1.95/math.Sqrt(float64(len(x))) { // 99.9 %
		t.Errorf("the distance to the normal distribution is %.5f", largest)
	}
}

func TestShufflePermutes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		p := New(rapid.Uint64().Draw(t, "seed"), "shuffle").At(0, 0).Shuffle(n)
		seen := make([]bool, n)
		for _, i := range p {
			if seen[i] {
				t.Fatalf("%d stands twice in %v", i, p)
			}
			seen[i] = true
		}
	})
}
