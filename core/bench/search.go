package bench

import (
	"context"
	"fmt"
	"io"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/kernel/nearest"
	"github.com/asterism-ssl/asterism/core/key"
)

// SearchOptions say what is searched.
type SearchOptions struct {
	Rows    int `json:"rows"`
	Width   int `json:"width"`
	Top     int `json:"top"`
	Queries int `json:"queries"` // asked at once
	Threads int `json:"threads"`
	Rounds  int `json:"rounds"`
}

// SearchResult is the speed of the exact search for the nearest by cosine among random rows of length one: of a query
// alone, which is a reading of the table, and of many at once, which is a matrix product.
type SearchResult struct {
	Bench        string `json:"bench"` // "search"
	Instructions string `json:"instructions"`
	SearchOptions
	OneS            float64 `json:"one_query_s"`
	OneGBPerS       float64 `json:"one_query_gb_per_s"` // of the table
	AllS            float64 `json:"all_queries_s"`
	QueriesPerS     float64 `json:"queries_per_s"`
	AllGBPerS       float64 `json:"all_queries_gb_per_s"` // of the table, read once for every 64 queries
	AllGFLOPS       float64 `json:"all_queries_gflops"`
	MeanBestProduct float64 `json:"mean_best_cosine"` // of the last round: something was found
}

// Search times it.
func Search(ctx context.Context, o SearchOptions) (*SearchResult, error) {
	for _, s := range []struct {
		flag         string
		value, limit int
	}{{"--rows", o.Rows, 1 << 40}, {"--width", o.Width, 1 << 16}, {"--top", o.Top, 1 << 16}, {"--queries", o.Queries, 1 << 24}, {"--threads", o.Threads, 1 << 10}, {"--rounds", o.Rounds, 1 << 20}} {
		if err := within(s.flag, s.value, s.limit); err != nil {
			return nil, err
		}
	}
	table := 4 * int64(o.Rows) * int64(o.Width)
	if o.Top > o.Rows {
		return nil, &fault.Error{Op: "bench", Kind: fault.Config, What: fmt.Sprintf("--top %d is more than --rows %d", o.Top, o.Rows), Do: "lower --top, or raise --rows"}
	}
	found := int64(o.Queries) * int64(o.Top) * (8 + 4) // an index and a product
	if err := fits("the table, the queries and what they find", float64(table+4*int64(o.Queries)*int64(o.Width)+2*found), "lower --rows, --width or --queries"); err != nil {
		return nil, err
	}
	pool := kernel.NewPool(o.Threads)
	defer pool.Close()
	unit := func(rows int, name string) []float32 {
		v := make([]float32, rows*o.Width)
		normal(v, o.Width, key.New(0, "bench", "search", name), 0)
		pool.L2Normalize(rows, o.Width, 1e-12, v, v, make([]float32, rows))
		return v
	}
	rows, queries := unit(o.Rows, "rows"), unit(o.Queries, "queries")
	r := &SearchResult{Bench: "search", Instructions: kernel.Describe(), SearchOptions: o}
	var one, all []float64
	for round := range o.Rounds + 1 { // the first touches everything and does not count
		first := queries[round%o.Queries*o.Width:][:o.Width]
		var best []float32
		alone := seconds(func() { nearest.Search(pool, o.Width, rows, first, o.Top) })
		if err := stopped(ctx); err != nil {
			return nil, err
		}
		together := seconds(func() { _, best = nearest.Search(pool, o.Width, rows, queries, o.Top) })
		if err := stopped(ctx); err != nil {
			return nil, err
		}
		if round > 0 {
			one, all = append(one, alone), append(all, together)
		}
		r.MeanBestProduct = 0
		for q := range o.Queries {
			r.MeanBestProduct += float64(best[q*o.Top]) / float64(o.Queries)
		}
	}
	r.OneS, r.AllS = median(one), median(all)
	r.OneGBPerS = float64(table) / r.OneS / 1e9
	r.QueriesPerS = float64(o.Queries) / r.AllS
	r.AllGBPerS = float64(table) * float64((o.Queries+63)/64) / r.AllS / 1e9
	r.AllGFLOPS = 2 * float64(o.Rows) * float64(o.Width) * float64(o.Queries) / r.AllS / 1e9
	return r, nil
}

// Write shows the result.
func (r *SearchResult) Write(to io.Writer) error {
	_, err := fmt.Fprintf(to, `the %d nearest of %d rows of %d values; %s, %d threads; medians of %d rounds
one query    %8.4f s   %6.1f GB/s
%-4d at once %8.4f s   %6.1f GB/s   %.0f queries/s   %.1f GFLOP/s
`, r.Top, r.Rows, r.Width, r.Instructions, r.Threads, r.Rounds, r.OneS, r.OneGBPerS, r.Queries, r.AllS, r.AllGBPerS, r.QueriesPerS, r.AllGFLOPS)
	return err
}
