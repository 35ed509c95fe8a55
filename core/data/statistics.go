package data

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Levels are the percentiles that Statistics gives, in percent.
var Levels = []float64{1, 5, 25, 50, 75, 95, 99}

// Statistics measures each band over every pixel of the rows, which are best those of the training part.
//
// The deviation is that of the population (divided by n). Median and percentiles interpolate linearly between order
// statistics, which are exact: bytes are counted, numbers are sorted into their bits by two passes of histograms. The
// MAD of numbers is that of distances rounded to float32 (a relative 6e-8). Means and deviations are summed in
// float64, in an order that depends on the rows alone.
//
// It fails on rows that are not there, on no rows at all and on a disk that cannot be read.
func Statistics(s *Store, rows []int) ([]*protocol.BandStatistics, error) {
	if err := s.inside(rows); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, &fault.Error{Op: "statistics", Kind: fault.Internal, What: "there are no rows to measure the bands on"}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.pixels == nil {
		return nil, errClosed
	}
	if s.u8 {
		return s.countBytes(rows)
	}
	bands := len(s.index.Bands)
	workers := threads()
	const each = 20 * (1 << 16) * 8 // bytes of histograms for a band and a worker
	group := max(1, min(bands, (256<<20)/(each*workers)))
	var all []*protocol.BandStatistics
	for first := 0; first < bands; first += group {
		some, err := s.sortNumbers(rows, first, min(group, bands-first))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func threads() int { return min(runtime.GOMAXPROCS(0), 8) }

// scan calls do for chunks of rows on several threads; a chunk's rows depend on nothing but the rows and their size.
func (s *Store) scan(rows []int, do func(worker, chunk int, rows []int)) error {
	size := s.chunk()
	chunks := (len(rows) + size - 1) / size
	var next atomic.Int64
	var wait sync.WaitGroup
	errs := make([]error, threads())
	for w := range errs {
		wait.Add(1)
		go func() {
			defer wait.Done()
			errs[w] = guard(func() {
				for {
					c := int(next.Add(1)) - 1
					if c >= chunks {
						return
					}
					do(w, c, rows[c*size:min((c+1)*size, len(rows))])
				}
			})
		}()
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) chunk() int { return max(1, (1<<18)/s.length) }

// countBytes measures a store of bytes.
func (s *Store) countBytes(rows []int) ([]*protocol.BandStatistics, error) {
	bands := len(s.index.Bands)
	counts := make([][][256]uint64, threads())
	for w := range counts {
		counts[w] = make([][256]uint64, bands)
	}
	err := s.scan(rows, func(w, _ int, rows []int) {
		mine := counts[w]
		for _, row := range rows {
			for px := s.raw(row); len(px) >= bands; px = px[bands:] {
				for b, v := range px[:bands] {
					mine[b][v]++
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	var all []*protocol.BandStatistics
	for b, name := range s.index.Bands {
		var count, apart [512]uint64 // apart: of twice the distance from the median
		var n, sum uint64
		for v := range 256 {
			for w := range counts {
				count[v] += counts[w][b][v]
			}
			n += count[v]
			sum += count[v] * uint64(v)
		}
		at := func(of *[512]uint64) func(uint64) float64 {
			return func(rank uint64) float64 {
				for v, c := range of {
					if rank < c {
						return float64(v)
					}
					rank -= c
				}
				return 0
			}
		}
		twice := int(at(&count)((n-1)/2) + at(&count)(n/2)) // the median, twice: an integer
		for v := range 256 {
			d := 2*v - twice
			apart[max(d, -d)] += count[v]
		}
		scale := s.index.Value
		st := &protocol.BandStatistics{Band: name, Median: scale * float64(twice) / 2, PercentileLevels: Levels}
		st.Mean = scale * float64(sum) / float64(n)
		mean := float64(sum) / float64(n)
		var about float64
		for v, c := range count {
			d := float64(v) - mean
			about += float64(c) * d * d
		}
		st.Deviation = math.Abs(scale) * math.Sqrt(about/float64(n))
		st.Mad = math.Abs(scale) * (at(&apart)((n-1)/2) + at(&apart)(n/2)) / 4
		for _, p := range Levels {
			if scale < 0 {
				p = 100 - p
			}
			st.Percentiles = append(st.Percentiles, scale*interpolate(n, p, at(&count)))
		}
		all = append(all, st)
	}
	return all, nil
}

// interpolate gives the percentile of n sorted values.
func interpolate(n uint64, percent float64, value func(rank uint64) float64) float64 {
	lower, upper, t := between(n, percent)
	a, b := value(lower), value(upper)
	if t >= 0.5 { // the nearer end first, so that rounding keeps the result between them
		return b - (b-a)*(1-t)
	}
	return a + (b-a)*t
}

// between gives the ranks around a percentile, and how far it lies from the lower to the upper.
func between(n uint64, percent float64) (lower, upper uint64, t float64) {
	h := float64(n-1) * percent / 100
	lower = min(uint64(h), n-1)
	return lower, min(lower+1, n-1), h - float64(lower)
}

// sorted finds order statistics of numbers by their bits, in two passes: all are counted by their upper 16 bits, then
// those around the wanted ranks by their lower 16.
type sorted struct {
	upper [][]uint64   // by worker
	slot  []uint8      // of the upper bits: 1 + the place in lower, or 0
	lower [][][]uint64 // by worker and slot
	ranks map[uint64]place
}

type place struct {
	upper uint32
	slot  uint8
	rank  uint64 // within the slot
}

func newSorted(workers int) *sorted {
	o := &sorted{slot: make([]uint8, 1<<16), ranks: map[uint64]place{}}
	for range workers {
		o.upper = append(o.upper, make([]uint64, 1<<16))
	}
	return o
}

// order maps numbers to integers that sort as they do.
func order(v float32) uint32 {
	b := math.Float32bits(v)
	return b ^ (uint32(int32(b)>>31) | 1<<31)
}

// want ends the first pass and prepares the second for some ranks.
func (o *sorted) want(ranks []uint64) {
	total := o.upper[0]
	for _, u := range o.upper[1:] {
		for i, c := range u {
			total[i] += c
		}
	}
	slots := uint8(0)
	for _, rank := range ranks {
		left := rank
		for i, c := range total {
			if left < c {
				if o.slot[i] == 0 {
					slots++
					o.slot[i] = slots
				}
				o.ranks[rank] = place{uint32(i), o.slot[i], left}
				break
			}
			left -= c
		}
	}
	for range o.upper {
		lower := make([][]uint64, slots)
		for i := range lower {
			lower[i] = make([]uint64, 1<<16)
		}
		o.lower = append(o.lower, lower)
	}
}

// merge ends the second pass.
func (o *sorted) merge() {
	for _, l := range o.lower[1:] {
		for k := range l {
			for i, c := range l[k] {
				o.lower[0][k][i] += c
			}
		}
	}
}

// value gives a wanted order statistic.
func (o *sorted) value(rank uint64) float64 {
	p, ok := o.ranks[rank]
	if !ok {
		return math.NaN()
	}
	left := p.rank
	for i, c := range o.lower[0][p.slot-1] {
		if left < c {
			k := p.upper<<16 | uint32(i)
			if k>>31 == 1 {
				k ^= 1 << 31
			} else {
				k = ^k
			}
			return float64(math.Float32frombits(k))
		}
		left -= c
	}
	return math.NaN()
}

// sortNumbers measures some bands of a store of numbers.
func (s *Store) sortNumbers(rows []int, first, count int) ([]*protocol.BandStatistics, error) {
	bands := len(s.index.Bands)
	n := uint64(len(rows)) * uint64(s.length/bands)
	workers, chunks := threads(), (len(rows)+s.chunk()-1)/s.chunk()
	sums, squares := make([][]float64, chunks), make([][]float64, chunks)
	// pass walks over the pixels of the bands; each gives a chunk's sum of what do returns.
	pass := func(into [][]float64, do func(worker, band int, v float32) float64) error {
		return s.scan(rows, func(w, chunk int, rows []int) {
			sum := make([]float64, count)
			for _, row := range rows {
				px := asFloats(s.raw(row))
				for b := range count {
					part := 0.0
					for i := first + b; i < len(px); i += bands {
						part += do(w, b, px[i])
					}
					sum[b] += part
				}
			}
			if into != nil {
				into[chunk] = sum
			}
		})
	}
	add := func(parts [][]float64, b int) (sum float64) {
		for _, p := range parts {
			sum += p[b]
		}
		return sum
	}
	values, apart := make([]*sorted, count), make([]*sorted, count)
	for b := range values {
		values[b], apart[b] = newSorted(workers), newSorted(workers)
	}
	if err := pass(sums, func(w, b int, v float32) float64 {
		values[b].upper[w][order(v)>>16]++
		return float64(v)
	}); err != nil {
		return nil, err
	}
	var ranks []uint64
	for _, p := range Levels {
		lower, upper, _ := between(n, p)
		ranks = append(ranks, lower, upper)
	}
	ranks = append(ranks, (n-1)/2, n/2)
	mean := make([]float64, count)
	for b := range values {
		mean[b] = add(sums, b) / float64(n)
		values[b].want(ranks)
	}
	if err := pass(squares, func(w, b int, v float32) float64 {
		k := order(v)
		if slot := values[b].slot[k>>16]; slot != 0 {
			values[b].lower[w][slot-1][k&0xffff]++
		}
		d := float64(v) - mean[b]
		return d * d
	}); err != nil {
		return nil, err
	}
	middle := make([]float64, count)
	for b := range values {
		values[b].merge()
		middle[b] = (values[b].value((n-1)/2) + values[b].value(n/2)) / 2
	}
	away := func(b int, v float32) uint32 { return order(float32(math.Abs(float64(v) - middle[b]))) }
	if err := pass(nil, func(w, b int, v float32) float64 {
		apart[b].upper[w][away(b, v)>>16]++
		return 0
	}); err != nil {
		return nil, err
	}
	for b := range apart {
		apart[b].want([]uint64{(n - 1) / 2, n / 2})
	}
	if err := pass(nil, func(w, b int, v float32) float64 {
		k := away(b, v)
		if slot := apart[b].slot[k>>16]; slot != 0 {
			apart[b].lower[w][slot-1][k&0xffff]++
		}
		return 0
	}); err != nil {
		return nil, err
	}
	var all []*protocol.BandStatistics
	for b := range count {
		apart[b].merge()
		st := &protocol.BandStatistics{Band: s.index.Bands[first+b], Mean: mean[b], Median: middle[b], PercentileLevels: Levels}
		st.Deviation = math.Sqrt(add(squares, b) / float64(n))
		st.Mad = (apart[b].value((n-1)/2) + apart[b].value(n/2)) / 2
		for _, p := range Levels {
			st.Percentiles = append(st.Percentiles, interpolate(n, p, values[b].value))
		}
		all = append(all, st)
	}
	return all, nil
}
