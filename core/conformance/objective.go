package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/protobuf/proto"
)

var objectiveChecks = []check{
	{"program", []string{"5.1", "5.2"}, program, true},
	{"finite", []string{"5.3"}, finiteLoss, false},
	{"gradients", []string{"5.4"}, gradients, false},
	{"filled", []string{"5.5", "5.6"}, filledGradients, false},
	{"labels", []string{"5.7"}, missingLabels, false},
	{"replay", []string{"5.8"}, replay, false},
	{"state", []string{"5.9", "5.10"}, state, false},
}

// program looks whether the plan holds together.
func program(t *trial) error {
	l, err := t.learner(t.shared())
	if err != nil {
		return err
	}
	p := l.program
	wrong := func(expected, format string, a ...any) error {
		return &broken{paragraph: "5.1", expected: expected, seen: fmt.Sprintf(format, a...)}
	}
	for _, v := range p.Views {
		if v.Pipeline == "" {
			return wrong("a pipeline for each view", "none for %q", v.Name)
		}
	}
	learns := false
	for _, tap := range p.Taps {
		learns = learns || l.Gradient(tap.Name) != nil
	}
	if !learns {
		return wrong("a tap of a pass with gradient: without one nothing is learned", "%d taps, none of such a pass", len(p.Taps))
	}
	if p.Momentum < 0 || p.Momentum >= 1 {
		return wrong("a momentum from 0, for none, to below 1", "%v", p.Momentum)
	}
	for _, name := range p.Labels {
		if !slices.ContainsFunc(t.labels(), func(one Label) bool { return one.Column == name }) {
			return wrong("labels that the data have", "%q", name)
		}
	}
	if p.LabelledOnly && len(p.Labels) == 0 {
		return wrong("labels where labelled_only is set", "none")
	}
	again, err := t.learner(t.fresh())
	if err != nil {
		return err
	}
	if !proto.Equal(again.program, p) {
		return &broken{paragraph: "5.2", expected: "the same program of the same configuration and data", seen: "another in another process"}
	}
	return nil
}

// finiteLoss computes a few steps.
func finiteLoss(t *trial) error {
	l, err := t.learner(t.shared())
	if err != nil {
		return err
	}
	for step := range uint64(5) {
		o, err := l.step(step)
		if err != nil {
			return err
		}
		if math.IsNaN(o.loss) || math.IsInf(o.loss, 0) {
			return &broken{paragraph: "5.3", expected: "a finite loss of finite taps", seen: fmt.Sprintf("%v in step %d", o.loss, step)}
		}
		for name, g := range o.gradients {
			if !protocol.Finite(g) {
				return &broken{paragraph: "5.3", expected: "finite gradients of finite taps", seen: fmt.Sprintf("that of %s is not, in step %d", name, step)}
			}
		}
	}
	return nil
}

// gradients compares the gradients with differences of losses, along the gradient itself and along random directions, over
// all taps and over each alone.
//
// The taps are float32 and so is much of what becomes of them: a loss is known to about 1e-6 of itself. With steps of a
// hundredth of the taps' own size and the error of the difference taken to the fourth order, what is left is below a
// hundredth of a derivative that is as large as a random direction finds it, unless the loss hardly depends on the tap.
func gradients(t *trial) error {
	l, err := t.learner(t.shared())
	if err != nil {
		return err
	}
	for step := range uint64(2) { // what is remembered is then not what it was in the beginning
		if _, err := l.step(step); err != nil {
			return err
		}
	}
	var before []plugin.Tensor
	if l.program.StateBytes > 0 {
		if before, err = l.State(t.ctx); err != nil {
			return err
		}
	}
	const at = 2
	l.fill(at)
	base := map[string][]float32{}
	var names []string
	for _, tap := range l.program.Taps {
		base[tap.Name] = slices.Clone(l.Tap(tap.Name))
		if l.Gradient(tap.Name) != nil {
			names = append(names, tap.Name)
		}
	}
	restore := func() error {
		if l.program.StateBytes == 0 {
			return nil
		}
		return l.SetState(t.ctx, before)
	}
	if err := restore(); err != nil {
		return err
	}
	want, err := l.again(at)
	if err != nil {
		return err
	}
	// shifted gives the loss, h along a direction from where the taps are, and how far that really is: taps are float32.
	shifted := func(direction map[string][]float64, h float64) (loss, linear float64, err error) {
		for _, tap := range l.program.Taps {
			values := l.Tap(tap.Name)
			copy(values, base[tap.Name])
			for i, d := range direction[tap.Name] {
				values[i] = float32(float64(values[i]) + h*d)
				linear += (float64(values[i]) - float64(base[tap.Name][i])) * float64(want.gradients[tap.Name][i])
			}
		}
		if err := restore(); err != nil {
			return 0, 0, err
		}
		o, err := l.again(at)
		return o.loss, linear, err
	}
	type trialDirection struct {
		what   string
		values map[string][]float64
	}
	var directions []trialDirection
	stream := key.New(9, "conformance", "directions")
	random := func(seed uint64, of []string) map[string][]float64 {
		d := map[string][]float64{}
		for k, name := range of {
			source := stream.At(seed, uint64(k))
			d[name] = make([]float64, len(base[name]))
			size := rms(base[name])
			for i := range d[name] {
				d[name][i] = size * source.Normal()
			}
		}
		return d
	}
	for seed := range uint64(6) {
		directions = append(directions, trialDirection{"a random direction", random(seed, names)})
	}
	for k, name := range names {
		steep := map[string][]float64{}
		if size := rms(want.gradients[name]); size > 0 {
			scale := rms(base[name]) / size
			for _, v := range want.gradients[name] {
				steep[name] = append(steep[name], scale*float64(v))
			}
			directions = append(directions, trialDirection{"the gradient's own direction in " + name, steep})
		}
		for seed := range uint64(4) {
			directions = append(directions, trialDirection{"a random direction in " + name, random(100+uint64(10*k)+seed, []string{name})})
		}
	}
	for _, d := range directions {
		// What a derivative along the direction is expected to be as large as.
		typical := 0.0
		for _, name := range names {
			if v := d.values[name]; v != nil {
				g := want.gradients[name]
				typical = math.Hypot(typical, rms(g)*math.Sqrt(float64(len(g)))*rms64(v))
			}
		}
		agrees := false
		var difference, expected float64
		for _, h := range []float64{1e-2, 3e-3, 3e-2} { // a kink may lie between; a step that is too small drowns in rounding
			var loss, linear [4]float64
			for k, f := range []float64{1, -1, 2, -2} {
				if loss[k], linear[k], err = shifted(d.values, f*h); err != nil {
					return err
				}
			}
			difference = (8*(loss[0]-loss[1]) - (loss[2] - loss[3])) / (12 * h)
			expected = (8*(linear[0]-linear[1]) - (linear[2] - linear[3])) / (12 * h)
			rounding := 2e-6 * math.Max(math.Abs(want.loss), 1e-3) / h
			if math.Abs(difference-expected) <= 0.01*math.Max(math.Abs(expected), typical)+rounding {
				agrees = true
				break
			}
		}
		if !agrees {
			return &broken{paragraph: "5.4", expected: "gradients that agree with differences of the loss", seen: fmt.Sprintf("along %s the loss changes by %.4g and the gradient says %.4g", d.what, difference, expected),
				advice: "compare with a derivation by hand, on two samples and two values"}
		}
	}
	return nil
}

func rms(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(max(1, len(x))))
}

func rms64(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum / float64(max(1, len(x))))
}

// filledGradients looks whether what stood in the gradients before matters, and whether anything else is written to.
func filledGradients(t *trial) error {
	l, err := t.learner(t.shared())
	if err != nil {
		return err
	}
	l.fill(0)
	d, id, err := t.instance(t.shared())
	if err != nil {
		return err
	}
	client := protocol.NewObjectiveClient(d.Conn())
	request := &protocol.ProgramRequest{Instance: id, Representation: t.given.Representation, Features: t.given.Features, Batch: t.given.Batch, Samples: t.given.Samples,
		Labels: t.labelFacts(t.given.Samples), Seed: 5}
	var results [2][]byte
	for k, fill := range []byte{0x00, 0x42} {
		if _, err := client.Plan(t.ctx, request); err != nil { // begins anew
			return said(err)
		}
		in, out := &ground{}, &ground{}
		loss := &protocol.LossRequest{Instance: id}
		for _, tap := range l.program.Taps {
			shape := append([]int64{int64(l.batch)}, l.widths[tap.Name]...)
			p, err := in.place("the tap "+tap.Name, protocol.DType_F32, shape...)
			if err != nil {
				return err
			}
			loss.Taps = append(loss.Taps, &protocol.NamedTensor{Name: tap.Name, Tensor: p})
			if l.Gradient(tap.Name) == nil {
				continue
			}
			if p, err = out.place("the gradient of "+tap.Name, protocol.DType_F32, shape...); err != nil {
				return err
			}
			loss.Gradients = append(loss.Gradients, &protocol.NamedTensor{Name: tap.Name, Tensor: p})
		}
		for _, name := range l.columns {
			p, err := in.place("the labels "+name, protocol.DType_F64, int64(l.batch))
			if err != nil {
				return err
			}
			loss.Labels = append(loss.Labels, &protocol.NamedTensor{Name: name, Tensor: p})
		}
		if err := errors.Join(in.share(t.ctx, d), out.share(t.ctx, d)); err != nil {
			return err
		}
		defer in.close()
		defer out.close()
		for _, n := range loss.Taps {
			copy(view[float32](in, n.Tensor), l.Tap(n.Name))
		}
		for _, n := range loss.Labels {
			copy(view[float64](in, n.Tensor), l.Label(n.Name))
		}
		for _, n := range loss.Gradients {
			out.fill(n.Tensor, fill)
		}
		before := bytes.Clone(in.Bytes())
		if _, err := client.Loss(t.ctx, loss); err != nil {
			return said(err)
		}
		where, harmed := out.harmed()
		if !harmed && !bytes.Equal(before, in.Bytes()) {
			where, harmed = "a tap or a label was changed", true
		}
		if harmed {
			return &broken{paragraph: "5.6", expected: "nothing written but the gradients", seen: where}
		}
		for _, n := range loss.Gradients {
			results[k] = append(results[k], out.bytes(n.Tensor)...)
		}
	}
	if !bytes.Equal(results[0], results[1]) {
		return &broken{paragraph: "5.5", expected: "gradients that do not depend on what stood in their memory before", seen: "others where it was not zero",
			advice: "write every value, and do not add to what is there"}
	}
	return nil
}

// missingLabels leaves labels of some objects out.
func missingLabels(t *trial) error {
	l, err := t.learner(t.shared())
	if err != nil {
		return err
	}
	if len(l.columns) == 0 {
		return notApplicable("it reads no labels")
	}
	if l.program.LabelledOnly {
		return notApplicable("it is given objects that have every label only")
	}
	l.fill(0)
	for _, name := range l.columns {
		for i := 0; i < l.batch; i += 3 {
			l.Label(name)[i] = math.NaN()
		}
	}
	o, err := l.again(0)
	if err != nil {
		return &broken{paragraph: "5.7", expected: "a step in which some objects have no label (NaN)", seen: words(err), log: logOf(err), advice: "leave them out of the loss, or set labelled_only"}
	}
	if math.IsNaN(o.loss) || math.IsInf(o.loss, 0) {
		return &broken{paragraph: "5.7", expected: "a finite loss where some objects have no label (NaN)", seen: fmt.Sprint(o.loss), advice: "leave them out of the loss, or set labelled_only"}
	}
	for name, g := range o.gradients {
		if !protocol.Finite(g) {
			return &broken{paragraph: "5.7", expected: "finite gradients where some objects have no label (NaN)", seen: "that of " + name + " is not", advice: "leave them out of the loss, or set labelled_only"}
		}
	}
	return nil
}

// replay computes the same steps in processes of four threads, to the bit, and in one with one thread, where sums may be
// taken in another order.
func replay(t *trial) error {
	var want []outcome
	for _, threads := range []int{4, 4, 1} {
		l, err := t.learner(t.fresh(threadsOf(threads)...))
		if err != nil {
			return err
		}
		for step := range uint64(6) {
			o, err := l.step(step)
			if err != nil {
				return err
			}
			if int(step) == len(want) {
				want = append(want, o)
			}
			b := &broken{paragraph: "5.8", expected: "the same bits of the same steps in two processes",
				advice: "a process that ended is brought back by computing its last steps again: let a loss follow from the taps, the labels and the state alone, and sums from a fixed order"}
			why := o.differ(want[step])
			if threads == 1 {
				why = o.far(want[step])
				b.expected, b.advice = "the same of the same steps, but for rounding, with one thread and with four", "let nothing depend on the number of threads but the order of a sum"
			}
			if why != "" {
				b.seen = fmt.Sprintf("in step %d %s", step, why)
				return b
			}
		}
	}
	return nil
}

// far says in what two outcomes differ by more than rounding; "" for nothing.
func (o outcome) far(p outcome) string {
	if math.Abs(o.loss-p.loss) > 1e-4*math.Abs(p.loss)+1e-9 {
		return fmt.Sprintf("the loss is %v instead of %v", o.loss, p.loss)
	}
	for name, g := range o.gradients {
		largest := 0.0
		for _, v := range p.gradients[name] {
			largest = math.Max(largest, math.Abs(float64(v)))
		}
		for i, v := range g {
			if math.Abs(float64(v)-float64(p.gradients[name][i])) > 1e-4*largest+1e-12 {
				return fmt.Sprintf("the gradient of %s is %v instead of %v in place %d", name, v, p.gradients[name][i], i)
			}
		}
	}
	return ""
}

// state saves the state as a checkpoint does, and goes on in another process.
func state(t *trial) error {
	l, err := t.learner(t.fresh())
	if err != nil {
		return err
	}
	const saved, end = 3, 6
	for step := range uint64(saved) {
		if _, err := l.step(step); err != nil {
			return err
		}
	}
	var kept []plugin.Tensor
	if l.program.StateBytes > 0 {
		if kept, err = l.State(t.ctx); err != nil {
			return err
		}
		if n := sizeOf(kept); n > l.program.StateBytes {
			return &broken{paragraph: "5.10", expected: fmt.Sprintf("a state of at most %d bytes, as the program says", l.program.StateBytes), seen: fmt.Sprint(n)}
		}
		if kept, err = throughFile(kept); err != nil {
			return &broken{paragraph: "5.9", expected: "a state that a checkpoint can hold", seen: err.Error()}
		}
	}
	var want []outcome
	for step := uint64(saved); step < end; step++ {
		o, err := l.step(step)
		if err != nil {
			return err
		}
		want = append(want, o)
	}
	again, err := t.learner(t.fresh())
	if err != nil {
		return err
	}
	if l.program.StateBytes > 0 {
		if err := again.SetState(t.ctx, kept); err != nil {
			return err
		}
	}
	for i, w := range want {
		o, err := again.step(uint64(saved + i))
		if err != nil {
			return err
		}
		if why := o.differ(w); why != "" {
			return &broken{paragraph: "5.9", expected: "the same bits in a process that was given the saved state as in the one that went on", seen: fmt.Sprintf("in step %d %s", saved+i, why),
				advice: "all that Loss remembers belongs into the state, the program says with state_bytes that there is one, and State changes nothing"}
		}
	}
	if l.program.StateBytes == 0 {
		return nil
	}
	// Only now: one process was asked for its state before these steps and the other was not.
	if err := again.SetState(t.ctx, kept); err != nil {
		return err
	}
	back, err := again.State(t.ctx)
	if err != nil {
		return err
	}
	if why := tensorsDiffer(back, kept); why != "" {
		return &broken{paragraph: "5.9", expected: "the state that was put back", seen: why}
	}
	return nil
}

// objectiveBatches is a step after another.
func objectiveBatches(t *trial, h *home) (func(i int) error, int64, error) {
	l, err := t.learner(h)
	if err != nil {
		return nil, 0, err
	}
	l.fill(0)
	size := int64(0)
	for _, tap := range l.program.Taps {
		size += int64(4 * len(l.Tap(tap.Name)))
	}
	return func(i int) error {
		_, err := l.Loss(t.ctx, uint64(i))
		return err
	}, size, nil
}
