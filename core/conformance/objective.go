package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
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

// defaultLabels are the columns that there are where the case names none.
var defaultLabels = []Label{{Column: "kind", Categories: []string{"spiral", "elliptical", "irregular"}}, {Column: "amount", Minimum: 0.1, Maximum: 2}}

// labels are the columns of labels in the case.
func (t *trial) labels() []Label {
	if len(t.given.Labels) > 0 {
		return t.given.Labels
	}
	return defaultLabels
}

// labelFacts describes the columns.
func (t *trial) labelFacts(count uint64) []*protocol.LabelFacts {
	var all []*protocol.LabelFacts
	for _, l := range t.labels() {
		f := &protocol.LabelFacts{Column: l.Column, Categories: l.Categories, Count: count, Minimum: l.Minimum, Maximum: l.Maximum, Type: protocol.Field_NUMBER}
		if len(l.Categories) > 0 {
			f.Type, f.Minimum, f.Maximum = protocol.Field_STRING, 0, float64(len(l.Categories)-1)
		}
		all = append(all, f)
	}
	return all
}

// draw makes a label of an object up, which has something to do with u, from 0 to 1.
func (l Label) draw(u float64) float64 {
	if n := len(l.Categories); n > 0 {
		return float64(min(int(u*float64(n)), n-1))
	}
	return l.Minimum + u*(l.Maximum-l.Minimum)
}

// learner is a planned objective with memory for its steps.
type learner struct {
	*trial
	*plugin.Objective
	program *protocol.Program
	checked *engine.Checked
	batch   int
	widths  map[string][]int64
	unit    map[string]bool // taps of heads whose last layer makes vectors of length one
	columns []string
}

// stand is an encoder that is there for the shapes of its outputs alone.
func stand(features, representation []int64) *protocol.Model {
	in, out := model.Size(features), model.Size(representation)
	layer := func(name, input string) *protocol.Layer { return &protocol.Layer{Name: name, Inputs: []string{input}} }
	whole, flat, map_, shaped := layer("whole", "input"), layer("flat", "whole"), layer("map", "flat"), layer("shaped", "map")
	whole.Op = &protocol.Layer_Relu{Relu: &protocol.Relu{}}
	flat.Op = &protocol.Layer_Reshape{Reshape: &protocol.Reshape{Shape: []int64{in}}}
	map_.Op = &protocol.Layer_Linear{Linear: &protocol.Linear{Weight: "weight"}}
	shaped.Op = &protocol.Layer_Reshape{Reshape: &protocol.Reshape{Shape: representation}}
	return &protocol.Model{Opset: 2, Input: features, Layers: []*protocol.Layer{whole, flat, map_, shaped},
		Parameters: []*protocol.Parameter{{Name: "weight", Shape: []int64{out, in}, Init: &protocol.Init{Is: &protocol.Init_Normal{Normal: 1}}}},
		Outputs:    map[string]string{"features": "whole", "representation": "shaped"}}
}

// learner configures and plans the component and lays its memory out.
func (t *trial) learner(h *home) (*learner, error) {
	o, err := h.Objective(t.ctx, t.ref())
	if err != nil {
		return nil, err
	}
	l := &learner{trial: t, Objective: o, batch: int(t.given.Batch), widths: map[string][]int64{}, unit: map[string]bool{}}
	request := &protocol.ProgramRequest{Representation: t.given.Representation, Features: t.given.Features, Batch: t.given.Batch, Samples: t.given.Samples,
		Labels: t.labelFacts(t.given.Samples), Seed: 5}
	if l.program, err = o.Plan(t.ctx, request); err != nil {
		return nil, err
	}
	l.checked, err = engine.Check(engine.Program{Encoder: stand(t.given.Features, t.given.Representation), Heads: l.program.Heads, Passes: l.program.Passes, Taps: l.program.Taps,
		Momentum: l.program.Momentum > 0}, engine.Options{Mode: engine.Train, Batch: l.batch})
	if err != nil {
		return nil, &broken{paragraph: "5.1", expected: "a program that an engine can compile", seen: list(err)}
	}
	for _, tap := range l.program.Taps {
		l.widths[tap.Name] = l.checked.TapShape(tap)
		if g := l.checked.HeadGraphs[tap.Output]; g != nil {
			l.unit[tap.Name] = g.Outputs["out"].Kind == model.L2Normalise
		}
	}
	l.columns = l.program.Labels
	return l, l.Bind(l.batch, l.widths, l.columns)
}

// fill makes up the taps and labels of a step.
func (l *learner) fill(step uint64) {
	stream := key.New(3, "conformance", "taps")
	for k, tap := range l.program.Taps {
		values := l.Tap(tap.Name)
		width := len(values) / l.batch
		for i := range l.batch {
			// What two taps have of one object resembles each other, as two views do.
			own, shared := stream.At(step, uint64(1000*(k+1)+i)), stream.At(step, uint64(i))
			row, square := values[i*width:(i+1)*width], 0.0
			for d := range row {
				row[d] = float32(0.6*own.Normal() + 0.8*shared.Normal())
				square += float64(row[d]) * float64(row[d])
			}
			if l.unit[tap.Name] {
				for d := range row {
					row[d] /= float32(math.Sqrt(square))
				}
			}
		}
	}
	for k, name := range l.columns {
		i := slices.IndexFunc(l.labels(), func(one Label) bool { return one.Column == name })
		for s, into := 0, l.Label(name); s < len(into) && i >= 0; s++ {
			into[s] = l.labels()[i].draw(stream.At(step, uint64(1_000_000*(k+1)+s)).Uniform())
		}
	}
}

// outcome of a step: all bits of it.
type outcome struct {
	loss      float64
	gradients map[string][]float32
}

func (l *learner) step(step uint64) (outcome, error) {
	l.fill(step)
	return l.again(step)
}

// again computes the loss of what the taps hold.
func (l *learner) again(step uint64) (outcome, error) {
	answer, err := l.Loss(l.ctx, step)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{answer.Loss, map[string][]float32{}}
	for _, tap := range l.program.Taps {
		if g := l.Gradient(tap.Name); g != nil {
			o.gradients[tap.Name] = slices.Clone(g)
		}
	}
	return o, nil
}

// differ says in what two outcomes differ; "" for nothing.
func (o outcome) differ(p outcome) string {
	if math.Float64bits(o.loss) != math.Float64bits(p.loss) {
		return fmt.Sprintf("the loss is %v instead of %v", o.loss, p.loss)
	}
	for name, g := range o.gradients {
		for i, v := range g {
			if math.Float32bits(v) != math.Float32bits(p.gradients[name][i]) {
				return fmt.Sprintf("the gradient of %s is %v instead of %v in place %d", name, v, p.gradients[name][i], i)
			}
		}
	}
	return ""
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
		back, err := again.State(t.ctx)
		if err != nil {
			return err
		}
		if why := tensorsDiffer(back, kept); why != "" {
			return &broken{paragraph: "5.9", expected: "the state that was put back", seen: why}
		}
	}
	for i, w := range want {
		o, err := again.step(uint64(saved + i))
		if err != nil {
			return err
		}
		if why := o.differ(w); why != "" {
			return &broken{paragraph: "5.9", expected: "the same bits in a process that was given the saved state as in the one that went on", seen: fmt.Sprintf("in step %d %s", saved+i, why),
				advice: "all that Loss remembers belongs into the state, and the program says with state_bytes that there is one"}
		}
	}
	return nil
}

// sizeOf is how many bytes tensors have.
func sizeOf(tensors []plugin.Tensor) uint64 {
	n := 0
	for _, t := range tensors {
		n += 4*len(t.F32) + 8*len(t.F64) + 8*len(t.I64) + len(t.U8)
	}
	return uint64(n)
}

// throughFile writes tensors as checkpoints and answers keep them, and reads them again.
func throughFile(tensors []plugin.Tensor) ([]plugin.Tensor, error) {
	dir, err := os.MkdirTemp("", "asterism-state-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "state.safetensors")
	if err := plugin.WriteTensors(file, tensors); err != nil {
		return nil, err
	}
	return plugin.ReadTensors(file)
}

// tensorsDiffer says in what two sets of tensors differ, whatever their order; "" for nothing.
func tensorsDiffer(got, want []plugin.Tensor) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d tensors instead of %d", len(got), len(want))
	}
	for _, w := range want {
		i := slices.IndexFunc(got, func(g plugin.Tensor) bool { return g.Name == w.Name })
		if i < 0 {
			return fmt.Sprintf("no tensor %q", w.Name)
		}
		g := got[i]
		if !slices.Equal(g.Shape, w.Shape) {
			return fmt.Sprintf("%q has the shape %v instead of %v", w.Name, g.Shape, w.Shape)
		}
		if !bytes.Equal(raw(g), raw(w)) {
			return fmt.Sprintf("%q has other values", w.Name)
		}
		if !slices.Equal(g.Categories, w.Categories) {
			return fmt.Sprintf("%q has other categories", w.Name)
		}
	}
	return ""
}

// raw gives the bits of a tensor.
func raw(t plugin.Tensor) []byte {
	b := bytes.Clone(t.U8)
	for _, v := range t.F32 {
		b = fmt.Appendf(b, "%08x", math.Float32bits(v))
	}
	for _, v := range t.F64 {
		b = fmt.Appendf(b, "%016x", math.Float64bits(v))
	}
	for _, v := range t.I64 {
		b = fmt.Appendf(b, "%d,", v)
	}
	return b
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
