package nearest_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run

	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/kernel/nearest"
)

func ExampleSearch() {
	p := kernel.NewPool(1)
	defer p.Close()
	rows := []float32{1, 0, 0, 1, 0.6, 0.8}
	row, cosine := nearest.Search(p, 2, rows, []float32{0.8, 0.6}, 2)
	fmt.Println(row, cosine)
	// Output: [2 0] [0.96000004 0.8]
}

// The search finds what sorting all products finds, equal products in the order of rows, for any number of threads. Small
// whole numbers make products exact and equals many.
func TestSearchIsSorting(t *testing.T) {
	pools := []*kernel.Pool{kernel.NewPool(1), kernel.NewPool(3)}
	defer pools[0].Close()
	defer pools[1].Close()
	rapid.Check(t, func(t *rapid.T) {
		width, n, m := rapid.IntRange(1, 9).Draw(t, "width"), rapid.SampledFrom([]int{1, 2, 7, 100, 4096, 4097, 16400}).Draw(t, "rows"), rapid.SampledFrom([]int{0, 1, 2, 16, 17, 63, 64, 65}).Draw(t, "queries")
		top := rapid.IntRange(0, 12).Draw(t, "top")
		state := uint32(rapid.Uint16().Draw(t, "seed"))
		draw := func(n int) []float32 {
			s := make([]float32, n)
			for i := range s {
				state = state*1664525 + 1013904223
				s[i] = float32(int(state>>29) - 4)
			}
			return s
		}
		rows, queries := draw(n*width), draw(m*width)
		for _, p := range pools {
			row, product := nearest.Search(p, width, rows, queries, top)
			k := min(top, n)
			if len(row) != m*k || len(product) != m*k {
				t.Fatalf("%d rows and %d products for %d queries of the %d best of %d", len(row), len(product), m, top, n)
			}
			for q := 0; q < m && k > 0; q += 13 {
				all, order := make([]float32, n), make([]int64, n)
				for r := range all {
					order[r] = int64(r)
					for i := range width {
						all[r] += rows[r*width+i] * queries[q*width+i]
					}
				}
				slices.SortStableFunc(order, func(a, b int64) int {
					return int(all[b] - all[a])
				})
				if !slices.Equal(row[q*k:(q+1)*k], order[:k]) {
					t.Fatalf("query %d: %v, want %v", q, row[q*k:(q+1)*k], order[:k])
				}
				for i, r := range order[:k] {
					if product[q*k+i] != all[r] {
						t.Fatalf("query %d: product %d is %v, want %v", q, i, product[q*k+i], all[r])
					}
				}
			}
		}
	})
}

// A table in parts finds what a search among all its rows at length one finds, but for rows that are not to be found.
func TestTableFindsWhatIsKept(t *testing.T) {
	pool := kernel.NewPool(2)
	defer pool.Close()
	rapid.Check(t, func(t *rapid.T) {
		width, parts := rapid.IntRange(1, 9).Draw(t, "width"), rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 5, 70}), 1, 5).Draw(t, "parts")
		top := rapid.IntRange(1, 12).Draw(t, "top")
		kept := func(i int) bool { return i%3 != 1 }
		value := rapid.Float32Range(-2, 2)
		table := nearest.Table{Width: width}
		var all []float32
		var rows []int64 // that are kept
		for _, n := range parts {
			part, first := rapid.SliceOfN(value, n*width, n*width).Draw(t, "rows"), table.Len()
			table.Add(part, func(i int) bool { return kept(first + i) })
			for i := range n {
				if kept(first + i) {
					all, rows = append(all, part[i*width:(i+1)*width]...), append(rows, int64(first+i))
				}
				if !slices.Equal(table.Row(first+i), part[i*width:(i+1)*width]) {
					t.Fatalf("row %d is %v", first+i, table.Row(first+i))
				}
			}
		}
		query := rapid.SliceOfN(value, width, width).Draw(t, "query")
		got, cosine := table.Search(pool, query, top)
		_, want := nearest.Search(pool, width, nearest.UnitRows(all, width), nearest.UnitRows(query, width), top)
		if len(got) != min(top, table.Len()) {
			t.Fatalf("%d found of %d", len(got), table.Len())
		}
		for i, row := range got {
			if i >= len(rows) {
				if row != -1 {
					t.Fatalf("row %d was found after all that are kept", row)
				}
				continue
			}
			if !slices.Contains(rows, row) || math.Abs(float64(cosine[i]-want[i])) > 1e-6 {
				t.Fatalf("place %d: row %d with cosine %v, want %v", i, row, cosine[i], want[i])
			}
		}
	})
}

func ExampleTable() {
	p := kernel.NewPool(1)
	defer p.Close()
	t := nearest.Table{Width: 2}
	t.Add([]float32{3, 0, 0, 5, 6, 8}, nil) // rows of any length
	row, cosine := t.Search(p, []float32{4, 3}, 2)
	fmt.Printf("%v %.2f\n", row, cosine)
	// Output: [2 0] [0.96 0.80]
}
