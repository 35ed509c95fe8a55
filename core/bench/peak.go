package bench

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"unsafe"

	"github.com/asterism-ssl/asterism/core/kernel"
)

// PeakOptions say how the peaks are measured.
type PeakOptions struct {
	Threads int // measured with 1 … Threads
	MiB     int // of the arrays that memory is measured with: several times the last cache
	Rounds  int
}

// PeakResult is what the machine can do at best, for 1, 2, … threads.
type PeakResult struct {
	Bench        string        `json:"bench"` // "peak"
	Instructions string        `json:"instructions"`
	MiB          int           `json:"mib"`
	Rounds       int           `json:"rounds"`
	Threads      []ThreadsPeak `json:"threads"`
}

// ThreadsPeak are the peaks of so many threads. Memory counts what a program reads and writes, in 10⁹ bytes a second; a
// copy counts both.
type ThreadsPeak struct {
	Threads     int                `json:"threads"`
	MultiplyAdd map[string]float64 `json:"multiply_add_gflops"` // by precision
	Read        float64            `json:"read_gb_per_s"`
	Write       float64            `json:"write_gb_per_s"`
	Copy        float64            `json:"copy_gb_per_s"`
}

// Peak measures multiply-adds on data in cache, and memory on arrays that no cache holds.
func Peak(ctx context.Context, o PeakOptions) (*PeakResult, error) {
	for _, s := range []struct {
		flag         string
		value, limit int
	}{{"--threads", o.Threads, 1 << 10}, {"--mib", o.MiB, 1 << 20}, {"--rounds", o.Rounds, 1 << 20}} {
		if err := within(s.flag, s.value, s.limit); err != nil {
			return nil, err
		}
	}
	bytes := int64(o.MiB) << 20
	if err := fits(fmt.Sprintf("two arrays of --mib %d", o.MiB), 2*float64(bytes), "lower --mib"); err != nil {
		return nil, err
	}
	from, to := make([]float32, bytes/4), make([]float32, bytes/4)
	for i := range from {
		from[i] = 1 // memory that was never written is no memory yet
	}
	r := &PeakResult{Bench: "peak", Instructions: kernel.Describe(), MiB: o.MiB, Rounds: o.Rounds}
	for threads := 1; threads <= o.Threads; threads++ {
		t, err := threadsPeak(ctx, o, threads, from, to)
		if err != nil {
			return nil, err
		}
		r.Threads = append(r.Threads, *t)
	}
	return r, nil
}

func threadsPeak(ctx context.Context, o PeakOptions, threads int, from, to []float32) (*ThreadsPeak, error) {
	pool := kernel.NewPool(threads)
	defer pool.Close()
	words := unsafe.Slice((*uint64)(unsafe.Pointer(&from[0])), len(from)/2)
	memory := []struct {
		passes float64 // over an array
		run    func()
		rates  []float64
	}{
		{passes: 1, run: func() {
			pool.Do(readTasks, func(i int) { read(words[i*len(words)/readTasks : (i+1)*len(words)/readTasks]) })
		}},
		{passes: 1, run: func() { pool.Fill(0, to) }},
		{passes: 2, run: func() { pool.Scale(1, from, to) }},
	}
	peaks := map[string]*multiplyAdd{}
	rates := map[string][]float64{}
	for _, p := range precisions() {
		m, err := newMultiplyAdd(p, threads)
		if err != nil {
			return nil, err
		}
		defer m.Close()
		peaks[string(p)] = m
	}
	for round := range o.Rounds + 1 { // the first touches everything and does not count
		for p, m := range peaks {
			if rate := m.burst(); round > 0 {
				rates[p] = append(rates[p], rate)
			}
		}
		for i := range memory {
			m := &memory[i]
			if took := seconds(m.run); round > 0 {
				m.rates = append(m.rates, m.passes*4*float64(len(from))/took/1e9)
			}
			if err := stopped(ctx); err != nil {
				return nil, err
			}
		}
	}
	t := &ThreadsPeak{Threads: threads, MultiplyAdd: map[string]float64{}, Read: median(memory[0].rates), Write: median(memory[1].rates), Copy: median(memory[2].rates)}
	for p, all := range rates {
		t.MultiplyAdd[p] = median(all)
	}
	return t, nil
}

const readTasks = 256

// read reads words and does as little else as can be.
func read(s []uint64) {
	var a, b, c, d uint64
	for ; len(s) >= 16; s = s[16:] {
		a |= s[0] | s[1] | s[2] | s[3]
		b |= s[4] | s[5] | s[6] | s[7]
		c |= s[8] | s[9] | s[10] | s[11]
		d |= s[12] | s[13] | s[14] | s[15]
	}
	if a|b|c|d == 1 { // so that the loop is not left out
		seen.Store(a)
	}
}

var seen atomic.Uint64

// Write shows the result as a table.
func (r *PeakResult) Write(to io.Writer) error {
	fmt.Fprintf(to, "%s; arrays of %d MiB; medians of %d rounds\n\n", r.Instructions, r.MiB, r.Rounds)
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	var names []string
	for _, p := range precisions() {
		if _, ok := r.Threads[0].MultiplyAdd[string(p)]; ok {
			names = append(names, string(p))
		}
	}
	fmt.Fprintf(w, "threads\t%s GFLOP/s\tread GB/s\twrite GB/s\tcopy GB/s\t\n", strings.Join(names, " GFLOP/s\t"))
	for _, t := range r.Threads {
		fmt.Fprintf(w, "%d\t", t.Threads)
		for _, p := range names {
			fmt.Fprintf(w, "%.1f\t", t.MultiplyAdd[p])
		}
		fmt.Fprintf(w, "%.1f\t%.1f\t%.1f\t\n", t.Read, t.Write, t.Copy)
	}
	return w.Flush()
}
