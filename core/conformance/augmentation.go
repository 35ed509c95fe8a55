package conformance

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/protobuf/proto"
)

var augmentationChecks = []check{
	{"plan", []string{"3.1", "3.2", "3.3"}, plans, true},
	{"outside", []string{"3.5"}, outside, true},
	{"ranks", []string{"3.1"}, ranks, false},
	{"key", []string{"3.4"}, eachRank(keyed), false},
	{"threads", []string{"3.4"}, threads, false},
	{"chain", []string{"3.7"}, chains, false},
	{"filled", []string{"3.6"}, eachRank(filled), false},
	{"finite", []string{"3.8"}, eachRank(finite), false},
	{"missing", []string{"3.9"}, eachRank(missing), false},
	{"empty", []string{"3.10"}, empty, false},
	{"small", []string{"3.11"}, small, false},
	{"descriptors", []string{"3.12"}, descriptors, false},
}

// ranks looks whether every rank that a plan declares works, and no other.
func ranks(t *trial) error {
	h := t.shared()
	if _, err := t.typical(h); err != nil {
		return err
	}
	all, told := t.samplesOf()
	plans, refused := map[int]*augmented{}, map[int]error{}
	declared := map[uint32]bool{}
	for rank := 1; rank <= 3; rank++ {
		a, err := t.first(h, all[rank])
		switch {
		case err == nil:
			plans[rank] = a
			for _, r := range a.plan.Ranks {
				declared[r] = true
			}
		case refusal(err):
			refused[rank] = err
		default:
			return &broken{paragraph: "3.1", expected: fmt.Sprintf("a plan for samples of %d dimensions, or a refusal that says why", rank), seen: words(err), log: logOf(err),
				advice: "an error of the configuration (FieldError, ConfigError) says that these samples cannot be taken"}
		}
	}
	for rank := 1; rank <= 3; rank++ {
		a := plans[rank]
		if a == nil {
			continue
		}
		for _, r := range slices.Sorted(maps.Keys(declared)) {
			if len(a.plan.Ranks) > 0 && !slices.Contains(a.plan.Ranks, r) {
				return &broken{paragraph: "3.1", expected: "the same ranks in every plan", seen: fmt.Sprintf("%v for samples of %d dimensions, and %d in another plan", a.plan.Ranks, rank, r)}
			}
		}
		if !a.takes() {
			continue // the host refuses them
		}
		if _, err := a.apply(count(a.n), how{}); err != nil {
			return fmt.Errorf("samples of %d dimensions, %v: %w", rank, a.facts.Shape, err)
		}
	}
	for _, r := range slices.Sorted(maps.Keys(declared)) {
		if r < 1 || r > 3 {
			return &broken{paragraph: "3.1", expected: "ranks from 1 to 3", seen: fmt.Sprint(r)}
		}
		if err := refused[int(r)]; err != nil && (told == 0 || told == int(r)) {
			return &broken{paragraph: "3.1", expected: fmt.Sprintf("samples of %d dimensions, which the plan declares, to be taken", r), seen: words(err), log: logOf(err),
				advice: "give samples that it takes: a case with facts in conformance.cue"}
		}
	}
	return nil
}

// plans looks whether a plan is sound, and the same when it is asked for again.
func plans(t *trial) error {
	a, err := t.typical(t.shared())
	if err != nil {
		return err
	}
	leaves := a.plan.Leaves
	if bands := leaves.Shape[len(leaves.Shape)-1]; int(bands) != len(leaves.Bands) {
		return &broken{paragraph: "3.2", expected: "as many names of bands as bands leave, which are the last axis", seen: fmt.Sprintf("%d names for the shape %v", len(leaves.Bands), leaves.Shape)}
	}
	for _, f := range a.plan.Adds {
		if f.Name == "" || f.Type != protocol.Field_NUMBER {
			return &broken{paragraph: "3.3", expected: "added columns that have a name and are numbers", seen: fmt.Sprintf("%q of type %v", f.Name, f.Type)}
		}
	}
	if rank := len(a.facts.Shape) - 1; len(a.plan.Origin) > 0 {
		if len(a.plan.Origin) != rank || len(leaves.Shape)-1 != rank {
			return &broken{paragraph: "3.2", expected: fmt.Sprintf("an origin with %d numbers, one a spatial axis", rank), seen: fmt.Sprint(a.plan.Origin)}
		}
		for i, at := range a.plan.Origin {
			if int64(at)+leaves.Shape[i] > a.facts.Shape[i] {
				return &broken{paragraph: "3.2", expected: "a box that lies in what enters", seen: fmt.Sprintf("one from %v of the shape %v in %v", a.plan.Origin, leaves.Shape, a.facts.Shape)}
			}
		}
	}
	again, err := a.client.Plan(t.ctx, &protocol.AugmentationPlanRequest{Instance: a.instance, Facts: a.facts})
	if err != nil {
		return said(err)
	}
	if !proto.Equal(a.plan, again) {
		return &broken{paragraph: "3.2", expected: "the same plan for the same samples", seen: "another the second time"}
	}
	return nil
}

// same compares what became of samples.
func same(what string, order []int, got, want [][]byte) error {
	for k, i := range order {
		if bytes.Equal(got[k], want[i]) {
			continue
		}
		differ := 0
		for b := 0; b+4 <= len(got[k]) && b+4 <= len(want[i]); b += 4 {
			if !bytes.Equal(got[k][b:b+4], want[i][b:b+4]) {
				differ++
			}
		}
		return &broken{paragraph: "3.4", expected: "the same bytes for the same key, " + what, seen: fmt.Sprintf("sample %d differs in %d of %d values", i, differ, len(want[i])/4),
			advice: "draw from the sample's own source alone, keep nothing between calls, and let no sample depend on another"}
	}
	return nil
}

// keyed looks whether a sample becomes the same however it is batched, in every order, and side by side.
func keyed(a *augmented) error {
	all := count(a.n)
	want, err := a.apply(all, how{})
	if err != nil {
		return err
	}
	again, err := a.apply(all, how{})
	if err != nil {
		return err
	}
	if err := same("a second time", all, again, want); err != nil {
		return err
	}
	reversed := slices.Clone(all)
	slices.Reverse(reversed)
	for i := range all { // a batch of one each
		got, err := a.apply(all[i:i+1], how{})
		if err != nil {
			return err
		}
		if err := same(fmt.Sprintf("alone and in a batch of %d", a.n), all[i:i+1], got, want); err != nil {
			return err
		}
	}
	for at := 0; at < a.n; at += 7 { // and in pieces, backwards
		order := reversed[at:min(at+7, a.n)]
		got, err := a.apply(order, how{})
		if err != nil {
			return err
		}
		if err := same("in another order", order, got, want); err != nil {
			return err
		}
	}
	if _, err := a.apply(all, how{epoch: 3}); err != nil {
		return err
	}
	var group sync.WaitGroup
	errs := make([]error, 4)
	for k := range errs {
		group.Go(func() {
			order := all
			if k%2 == 1 {
				order = reversed
			}
			got, err := a.apply(order, how{})
			if err == nil {
				err = same("with four calls at once", order, got, want)
			}
			errs[k] = err
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// threadsOf are the variables by which a process learns how many processors it may use.
func threadsOf(n int) []string {
	var env []string
	for _, name := range []string{"GOMAXPROCS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"} {
		env = append(env, fmt.Sprintf("%s=%d", name, n))
	}
	return env
}

// threads looks whether another process, with one thread or four, makes the same of a sample, whichever epoch is the first.
func threads(t *trial) error {
	want := map[uint64][][]byte{}
	for i, epochs := range [][]uint64{{0, 3}, {3, 0}} {
		a, err := t.typical(t.fresh(threadsOf(1 + 3*i)...))
		if err != nil {
			return err
		}
		for _, epoch := range epochs {
			got, err := a.apply(count(a.n), how{epoch: epoch})
			if err != nil {
				return err
			}
			if want[epoch] == nil {
				want[epoch] = got
			}
			if err := same("in a process with one thread and in one with four, where another epoch came first", count(a.n), got, want[epoch]); err != nil {
				return err
			}
		}
	}
	return nil
}

// chains looks whether two links in one call are what they are in two.
func chains(t *trial) error {
	h := t.shared()
	first, err := t.typical(h)
	if err != nil {
		return err
	}
	if len(first.plan.Adds) > 0 {
		return notApplicable("it adds a column, which can be there once only")
	}
	second, err := t.augmented(h, first.plan.Leaves)
	if err != nil {
		if refusal(err) {
			return notApplicable("it does not take what it leaves")
		}
		return err
	}
	if !second.takes() {
		return notApplicable("it does not take what it leaves")
	}
	all := count(first.n)
	got, err := first.apply(all, how{chain: func(r *protocol.ApplyRequest, leaves *[]int64) {
		l := proto.CloneOf(second.link)
		l.Path = t.name + "/1"
		r.Chain = append(r.Chain, l)
		*leaves = second.plan.Leaves.Shape
	}})
	if err != nil {
		return err
	}
	var between []float32
	if _, err := first.apply(all, how{whole: func(_, out []float32, _ *protocol.Applied) { between = slices.Clone(out) }}); err != nil {
		return err
	}
	second.in, second.ids, second.n = between, first.ids, first.n
	second.columns = first.columns
	want, err := second.apply(all, how{path: t.name + "/1"})
	if err != nil {
		return err
	}
	if err := same("", all, got, want); err != nil {
		b := err.(*broken)
		b.paragraph, b.expected = "3.7", "the same bytes from a chain of two in one call and in two calls"
		b.advice = "each link has its own path, which is part of its key, and is given what the one before leaves"
		return b
	}
	return nil
}

// outside gives batches of several sizes and looks at the memory around them; apply does the work.
func outside(t *trial) error {
	a, err := t.typical(t.shared())
	if err != nil {
		return err
	}
	late := 0
	for _, n := range []int{1, 2, 3, a.n} {
		if t.most > 0 {
			n = min(n, t.most)
		}
		began := time.Now()
		_, err := a.apply(count(min(n, a.n)), how{whole: func(_, out []float32, _ *protocol.Applied) {
			if n == 3 {
				t.most = max(4, int(3*time.Second/max(time.Since(began), time.Millisecond))) // about a second's work
			}
			then := slices.Clone(out)
			time.Sleep(50 * time.Millisecond)
			for i, v := range out {
				if math.Float32bits(v) != math.Float32bits(then[i]) {
					late++
				}
			}
		}})
		if err != nil {
			return err
		}
	}
	if late > 0 {
		return &broken{paragraph: "3.5", expected: "an output that is left alone once the call is answered", seen: fmt.Sprintf("%d of its values were written afterwards", late),
			advice: "wait for your own threads before you answer: the memory then holds another batch"}
	}
	return nil
}

// filled looks whether what stood in the output before is gone.
func filled(a *augmented) error {
	var results [2][][]byte
	for k, fill := range []byte{0x00, 0x42} { // 0, and about 48
		var err error
		if results[k], err = a.apply(count(a.n), how{fill: fill}); err != nil {
			return err
		}
	}
	if err := same("", count(a.n), results[1], results[0]); err != nil {
		b := err.(*broken)
		b.paragraph, b.expected = "3.6", "every value of the output written, and every added column"
		b.seen += ", after what stood there before"
		b.advice = "the memory is used again: it is not zero when a call begins"
		return b
	}
	return nil
}

// finite looks whether values that are finite stay so.
func finite(a *augmented) error {
	blank := func(sample, epoch int) bool { return sample < 2 && epoch%2 == 1 } // zero everywhere, or one
	for epoch := range 8 {
		var seen string
		_, err := a.apply(count(a.n), how{epoch: uint64(epoch), enter: func(sample int, in []float32) {
			if blank(sample, epoch) {
				for i := range in {
					in[i] = float32(sample)
				}
			}
		}, whole: func(_, out []float32, answer *protocol.Applied) {
			if i := slices.IndexFunc(out, func(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) }); i >= 0 {
				sample := i / (len(out) / a.n)
				seen = fmt.Sprintf("%v in sample %d in epoch %d", out[i], sample, epoch)
				if blank(sample, epoch) {
					seen += fmt.Sprintf(", all of whose values were %d", sample)
				}
				if answer.GetFinite() {
					seen += ", and the answer that all are finite"
				}
			}
		}})
		if err != nil {
			return err
		}
		if seen != "" {
			return &broken{paragraph: "3.8", expected: "finite values of finite ones", seen: seen, advice: "look for divisions by zero, as by the deviation of a blank sample, and for roots and logarithms of negative values: a background is negative in half of its pixels"}
		}
	}
	return nil
}

// missing looks what becomes of samples in which pixels, or columns, are missing.
func missing(a *augmented) error {
	all := count(a.n)
	want, err := a.apply(all, how{})
	if err != nil {
		return err
	}
	nan := float32(math.NaN())
	var wrong string
	got, err := a.apply(all, how{enter: func(sample int, in []float32) {
		switch sample {
		case 0: // nothing is known
			for i := range in {
				in[i] = nan
			}
		case 1: // one value
			in[len(in)/2] = nan
		}
	}, whole: func(_, out []float32, answer *protocol.Applied) {
		first := out[:len(out)/a.n]
		switch {
		case protocol.Finite(first):
			wrong = "a sample of which nothing is known becomes one of which all is"
		case answer.GetFinite():
			wrong = "the answer that all values are finite, where some are not"
		}
	}})
	if err != nil {
		return &broken{paragraph: "3.9", expected: "samples with missing pixels (NaN) to be taken", seen: words(err), log: logOf(err)}
	}
	if wrong != "" {
		return &broken{paragraph: "3.9", expected: "what is missing (NaN) to stay missing", seen: wrong, advice: "do not put values in the place of NaN: a pixel without a measurement is not one that is zero"}
	}
	if err := same("beside a sample with missing pixels", all[2:], got[2:], want); err != nil {
		return err
	}
	if len(a.columns) == 0 {
		return nil
	}
	for _, c := range a.columns {
		c[0] = math.NaN()
	}
	got, err = a.apply(all, how{})
	if err != nil {
		return &broken{paragraph: "3.9", expected: "samples whose columns have no value (NaN) to be taken", seen: words(err), log: logOf(err)}
	}
	return same("beside a sample whose columns have no value", all[1:], got[1:], want)
}

// empty gives a batch without samples.
func empty(t *trial) error {
	a, err := t.typical(t.shared())
	if err != nil {
		return err
	}
	if _, err := a.apply(nil, how{}); err != nil {
		return &broken{paragraph: "3.10", expected: "a batch of no samples to be no error", seen: words(err), log: logOf(err)}
	}
	return nil
}

// small gives samples of one pixel, two and three.
func small(t *trial) error {
	h := t.shared()
	all, told := t.samplesOf()
	for rank := 1; rank <= 3; rank++ {
		facts := all[rank][0]
		if told > 0 && rank != told {
			continue
		}
		for side := int64(1); side <= 3; side++ {
			f := proto.CloneOf(facts)
			for i := range rank {
				f.Shape[i] = side
			}
			a, err := t.augmented(h, f)
			if err != nil {
				if refusal(err) {
					continue
				}
				return &broken{paragraph: "3.11", expected: fmt.Sprintf("samples of the shape %v to be planned, or refused with a reason", f.Shape), seen: words(err), log: logOf(err),
					advice: "an error of the configuration (FieldError, ConfigError) tells the user which size is too small"}
			}
			if !a.takes() {
				continue
			}
			a.n = 4
			if _, err := a.apply(count(a.n), how{}); err != nil {
				var b *broken
				if asBroken(err, &b) && b.paragraph == "3.5" {
					return b
				}
				return &broken{paragraph: "3.11", expected: fmt.Sprintf("samples of the shape %v, which were planned, to be taken", f.Shape), seen: words(err), log: logOf(err), advice: "say no in the plan"}
			}
		}
	}
	return nil
}

// descriptors gives tensors that lie elsewhere than they may, or have another shape.
func descriptors(t *trial) error {
	a, err := t.typical(t.shared())
	if err != nil {
		return err
	}
	twists := map[string]func(r *protocol.ApplyRequest, in, out *ground){
		"an output that ends after its arena": func(r *protocol.ApplyRequest, in, out *ground) {
			r.Out.Offset = protocol.AlignUp(out.Size()) - protocol.Align
		},
		"an output far outside of its arena":            func(r *protocol.ApplyRequest, in, out *ground) { r.Out.Offset = 1<<64 - 64 },
		"an output in an arena that is not there":       func(r *protocol.ApplyRequest, in, out *ground) { r.Out.Arena += 1000 },
		"an output at an odd address":                   func(r *protocol.ApplyRequest, in, out *ground) { r.Out.Offset += 4 },
		"an output of another type":                     func(r *protocol.ApplyRequest, in, out *ground) { r.Out.Dtype = protocol.DType_F64 },
		"an output of a negative shape":                 func(r *protocol.ApplyRequest, in, out *ground) { r.Out.Shape[1] = -r.Out.Shape[1] },
		"an output of another shape than the plan says": func(r *protocol.ApplyRequest, in, out *ground) { r.Out.Shape[1]++ },
		"an output of fewer samples than enter":         func(r *protocol.ApplyRequest, in, out *ground) { r.Out.Shape[0]-- },
		"an input that ends after its arena": func(r *protocol.ApplyRequest, in, out *ground) {
			r.In.Offset = protocol.AlignUp(in.Size()) - protocol.Align
		},
		"an input of more samples than are named":    func(r *protocol.ApplyRequest, in, out *ground) { r.In.Shape[0]++ },
		"an input of another shape than was planned": func(r *protocol.ApplyRequest, in, out *ground) { r.In.Shape[1]-- },
		"no output": func(r *protocol.ApplyRequest, in, out *ground) { r.Out = nil },
	}
	if len(a.plan.Columns) > 0 {
		twists["no column "+a.plan.Columns[0]] = func(r *protocol.ApplyRequest, in, out *ground) { r.Columns = nil }
		twists["a column of fewer values than samples"] = func(r *protocol.ApplyRequest, in, out *ground) { r.Columns[0].Tensor.Shape[0]-- }
	}
	for _, name := range slices.Sorted(maps.Keys(twists)) {
		_, err := a.apply(count(4), how{twist: twists[name]})
		var b *broken
		if asBroken(err, &b) {
			b.seen += ", given " + name
			return b
		}
		if err == nil {
			return &broken{paragraph: "3.12", expected: "an error for " + name, seen: "an answer as if all were well"}
		}
		if strings.Contains(err.Error(), "context") && a.ctx.Err() != nil {
			return err
		}
	}
	if _, err := a.apply(count(4), how{}); err != nil {
		return &broken{paragraph: "3.12", expected: "a good batch to be taken after bad ones", seen: words(err), log: logOf(err)}
	}
	return nil
}

// augmentationBatches is the pace of training: a batch after another through the same memory.
func augmentationBatches(t *trial, h *home) (func(i int) error, int64, error) {
	a, err := t.typical(h)
	if err != nil {
		return nil, 0, err
	}
	ref := t.ref()
	p, err := h.Pipeline(t.ctx, []plugin.Ref{ref}, "a", a.facts)
	if err != nil {
		return nil, 0, err
	}
	if p.NeedsStatistics() {
		p.SetStatistics(t.statistics(a.facts))
	}
	s, err := p.Slot(a.n)
	if err != nil {
		return nil, 0, err
	}
	copy(s.In, a.in)
	copy(s.Samples, a.ids)
	for name, c := range s.Columns {
		copy(c, a.columns[name])
	}
	return func(i int) error { return p.Apply(t.ctx, s, a.n, 11, uint64(i)) }, int64(4 * len(a.in)), nil
}
