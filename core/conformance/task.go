package conformance

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

var taskChecks = []check{
	{"answer", []string{"6.1", "6.2", "6.3"}, answers, true},
	{"repeat", []string{"6.4"}, repeats, false},
	{"predict", []string{"6.5"}, predictsFromState, false},
	{"rows", []string{"6.6"}, rowByRow, false},
	{"weights", []string{"6.7"}, weights, false},
	{"state", []string{"6.8"}, taskState, false},
	{"score", []string{"6.9"}, scores, false},
	{"few", []string{"6.10"}, few, false},
}

// predictor is a configured task with representations and labels, of rows to learn from and of rows to be judged on.
type predictor struct {
	*trial
	*plugin.Task
	needs *protocol.TaskNeeds
	x     [2]plugin.Tensor
	label [2][]plugin.Tensor
	ids   []uint64
}

// predictor configures a task and asks it what it needs.
func (t *trial) predictor(h *home) (*predictor, error) {
	task, err := h.Task(t.ctx, t.ref())
	if err != nil {
		return nil, err
	}
	p := &predictor{trial: t, Task: task}
	rows := [2]int{t.given.Rows, max(2, t.given.Rows/2)}
	p.needs, err = task.Needs(t.ctx, &protocol.TaskNeedsRequest{Width: uint32(t.given.Width), FitRows: uint64(rows[0]), PredictRows: uint64(rows[1]), Labels: t.labelFacts(uint64(rows[0]))})
	if err != nil {
		return nil, err
	}
	for _, name := range p.needs.Labels {
		if !slices.ContainsFunc(t.labels(), func(l Label) bool { return l.Column == name }) {
			return nil, &broken{paragraph: "6.1", expected: "labels that the data have", seen: fmt.Sprintf("%q", name)}
		}
	}
	for part, n := range rows {
		p.x[part], p.label[part] = t.objects(part, n, 0, p.needs.Labels)
	}
	for i := range rows[0] {
		p.ids = append(p.ids, key.Sample(fmt.Sprint("object ", i)))
	}
	return p, nil
}

// objects makes representations up, and labels that have something to do with them: the first value of a representation
// is about the label's place in its range. Another twist relates them otherwise.
func (t *trial) objects(part, n int, twist uint64, names []string) (plugin.Tensor, []plugin.Tensor) {
	width := t.given.Width
	x := plugin.Tensor{Name: "x", Shape: []int64{int64(n), int64(width)}, F32: make([]float32, n*width)}
	stream := key.New(4, "conformance", "representations")
	place := make([]float64, n)
	for i := range n {
		source := stream.At(uint64(part), uint64(i))
		place[i] = source.Uniform()
		for d := range width {
			x.F32[i*width+d] = float32(math.Cos(float64(d+1)*place[i]*3) + 0.1*source.Normal())
		}
	}
	var labels []plugin.Tensor
	for k, name := range names {
		l := t.labels()[slices.IndexFunc(t.labels(), func(l Label) bool { return l.Column == name })]
		values := make([]float64, n)
		for i, u := range place {
			if twist > 0 {
				u = stream.At(1000+twist+uint64(k), uint64(i)).Uniform()
			}
			values[i] = l.draw(u)
		}
		labels = append(labels, plugin.Tensor{Name: name, Shape: []int64{int64(n)}, F64: values, Categories: l.Categories})
	}
	return x, labels
}

// fit learns from the rows.
func (p *predictor) fit() ([]plugin.Tensor, error) {
	return p.Fit(p.ctx, plugin.FitInput{X: p.x[0], Labels: p.label[0], Seed: 8, Samples: p.ids, StateBytes: p.needs.StateBytes})
}

// predict answers for the rows to be judged on.
func (p *predictor) predict(state []plugin.Tensor) ([]plugin.Tensor, error) {
	return p.Predict(p.ctx, state, p.x[1], p.needs.PredictionBytes)
}

// fitted configures a task and has it learn and answer.
func (t *trial) fitted(h *home) (p *predictor, state, columns []plugin.Tensor, err error) {
	if p, err = t.predictor(h); err != nil {
		return
	}
	if state, err = p.fit(); err != nil {
		return
	}
	columns, err = p.predict(state)
	return
}

// answers has the task learn, answer and be judged, and looks whether the answers are what they may be.
func answers(t *trial) error {
	p, state, columns, err := t.fitted(t.shared())
	if err != nil {
		return err
	}
	for _, promise := range []struct {
		what, field string
		got         []plugin.Tensor
		bytes       uint64
	}{{"state", "state_bytes", state, p.needs.StateBytes}, {"prediction", "prediction_bytes", columns, p.needs.PredictionBytes}} {
		if n := sizeOf(promise.got); n > promise.bytes {
			return &broken{paragraph: "6.2", expected: fmt.Sprintf("a %s of at most %d bytes, as %s says", promise.what, promise.bytes, promise.field), seen: fmt.Sprint(n)}
		}
		names := map[string]bool{}
		for _, one := range promise.got {
			if one.Name == "" || names[one.Name] {
				return &broken{paragraph: "6.2", expected: "a name of its own for each tensor of a " + promise.what, seen: fmt.Sprintf("%q", one.Name)}
			}
			names[one.Name] = true
		}
	}
	if len(columns) == 0 {
		return &broken{paragraph: "6.3", expected: "at least one column of predictions", seen: "none"}
	}
	rows, fitted := p.x[1].Shape[0], p.x[0].Shape[0]
	for _, c := range columns {
		if len(c.Shape) < 1 || len(c.Shape) > 2 || c.Shape[0] != rows {
			return &broken{paragraph: "6.3", expected: fmt.Sprintf("columns of the shape [%d] or [%d, k]", rows, rows), seen: fmt.Sprintf("%q of the shape %v", c.Name, c.Shape)}
		}
		limit := fitted
		if n := len(c.Categories); n > 0 && !c.Fitted {
			limit = int64(n)
		}
		for _, v := range c.I64 {
			if (c.Fitted || len(c.Categories) > 0) && (v < 0 || v >= limit) {
				return &broken{paragraph: "6.3", expected: fmt.Sprintf("values of %q from 0 to %d", c.Name, limit-1), seen: fmt.Sprint(v)}
			}
		}
	}
	return nil
}

// repeats has two processes learn the same, to the bit, and one with one thread, where sums may be taken in another order.
func repeats(t *trial) error {
	var first, firstColumns []plugin.Tensor
	for _, threads := range []int{4, 4, 1} {
		_, state, columns, err := t.fitted(t.fresh(threadsOf(threads)...))
		if err != nil {
			return err
		}
		if first == nil {
			first, firstColumns = state, columns
		}
		b := &broken{paragraph: "6.4", expected: "the same bits of the same rows, labels and seed in two processes", advice: "draw from the seed and the sample ids alone"}
		if b.seen = tensorsDiffer(state, first); b.seen == "" {
			b.seen = tensorsDiffer(columns, firstColumns)
		}
		if threads == 1 {
			b.seen = tensorsFar(columns, firstColumns)
			b.expected, b.advice = "the same predictions, but for rounding, with one thread and with four", "let nothing depend on the number of threads but the order of a sum"
		}
		if b.seen != "" {
			return b
		}
	}
	return nil
}

// tensorsFar says in what two sets of predictions differ by more than what rounding may come to on the way through an
// optimiser: by a hundredth of the largest value, or, where values count or name something, in every tenth.
func tensorsFar(got, want []plugin.Tensor) string {
	for _, w := range want {
		i := slices.IndexFunc(got, func(g plugin.Tensor) bool { return g.Name == w.Name })
		if i < 0 || !slices.Equal(got[i].Shape, w.Shape) {
			return fmt.Sprintf("no %q of the shape %v", w.Name, w.Shape)
		}
		a, b := numbers(got[i]), numbers(w)
		largest, others := 0.0, 0
		for _, v := range b {
			largest = math.Max(largest, math.Abs(v))
		}
		for k := range b {
			if math.Abs(a[k]-b[k]) > 0.01*largest || math.IsNaN(a[k]) != math.IsNaN(b[k]) {
				others++
			}
		}
		if others > 0 && (w.I64 == nil || 10*others > len(b)) {
			return fmt.Sprintf("%d of %d values of %q are others", others, len(b), w.Name)
		}
	}
	return ""
}

// predictsFromState learns something else in between: an answer follows from the state that Predict is given.
func predictsFromState(t *trial) error {
	p, state, want, err := t.fitted(t.shared())
	if err != nil {
		return err
	}
	_, other := p.objects(0, t.given.Rows, 1, p.needs.Labels)
	x, _ := p.objects(7, t.given.Rows, 0, nil)
	in := plugin.FitInput{X: x, Labels: other, Seed: 9, Samples: p.ids, StateBytes: p.needs.StateBytes}
	if _, err := p.Fit(t.ctx, in); err != nil {
		return err
	}
	got, err := p.predict(state)
	if err != nil {
		return err
	}
	if why := tensorsDiffer(got, want); why != "" {
		return &broken{paragraph: "6.5", expected: "predictions that follow from the state and the representations alone", seen: why + " after Fit was called with other rows and labels",
			advice: "Predict may know nothing that Fit has seen but what is in the state: keep nothing in the component"}
	}
	return nil
}

// near says whether two predictions are the same but for rounding.
func near(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-5*math.Max(1, math.Max(math.Abs(a), math.Abs(b)))
}

// numbers gives the values of a tensor.
func numbers(t plugin.Tensor) []float64 {
	all := slices.Clone(t.F64)
	for _, v := range t.F32 {
		all = append(all, float64(v))
	}
	for _, v := range t.I64 {
		all = append(all, float64(v))
	}
	for _, v := range t.U8 {
		all = append(all, float64(v))
	}
	return all
}

// rowByRow predicts rows alone.
func rowByRow(t *trial) error {
	p, state, want, err := t.fitted(t.shared())
	if err != nil {
		return err
	}
	rows, width := int(p.x[1].Shape[0]), t.given.Width
	for i := 0; i < rows; i += max(1, rows/16) {
		one := plugin.Tensor{Name: "x", Shape: []int64{1, int64(width)}, F32: p.x[1].F32[i*width : (i+1)*width]}
		got, err := p.Predict(t.ctx, state, one, p.needs.PredictionBytes)
		if err != nil {
			return &broken{paragraph: "6.6", expected: "a prediction of a single row", seen: words(err), log: logOf(err)}
		}
		for k, w := range want {
			whole, alone := numbers(w), numbers(got[min(k, len(got)-1)])
			each := len(whole) / rows
			if len(alone) != each {
				return &broken{paragraph: "6.6", expected: fmt.Sprintf("%d values of %q for a single row, as among %d", each, w.Name, rows), seen: fmt.Sprint(len(alone))}
			}
			for c, v := range alone {
				if !near(v, whole[i*each+c]) {
					return &broken{paragraph: "6.6", expected: "the same prediction of a row alone as among others", seen: fmt.Sprintf("%q of row %d is %v alone and %v among %d", w.Name, i, v, whole[i*each+c], rows),
						advice: "what is taken over all rows, as means and ranges, is learned in Fit and kept in the state"}
				}
			}
		}
	}
	return nil
}

// weights gives weights that are all one, and others.
func weights(t *trial) error {
	p, _, want, err := t.fitted(t.shared())
	if err != nil {
		return err
	}
	in := plugin.FitInput{X: p.x[0], Labels: p.label[0], Seed: 8, Samples: p.ids, StateBytes: p.needs.StateBytes, Weights: make([]float64, t.given.Rows)}
	for i := range in.Weights {
		in.Weights[i] = 1
	}
	state, err := p.Fit(t.ctx, in)
	if err != nil {
		return &broken{paragraph: "6.7", expected: "weights to be taken", seen: words(err), log: logOf(err)}
	}
	got, err := p.predict(state)
	if err != nil {
		return err
	}
	for k, w := range want {
		a, b := numbers(w), numbers(got[min(k, len(got)-1)])
		for i := range a {
			if i >= len(b) || math.Abs(a[i]-b[i]) > 1e-3*math.Max(1, math.Abs(a[i])) {
				return &broken{paragraph: "6.7", expected: "the same answers with weights that are all one as without weights", seen: fmt.Sprintf("others in %q", w.Name)}
			}
		}
	}
	for i := range in.Weights {
		in.Weights[i] = float64(i%3) / 2
	}
	if state, err = p.Fit(t.ctx, in); err == nil {
		_, err = p.predict(state)
	}
	if err != nil {
		return &broken{paragraph: "6.7", expected: "weights of 0, ½ and 1 to be taken", seen: words(err), log: logOf(err)}
	}
	return nil
}

// taskState keeps the state in a file and answers in a process that has learned nothing.
func taskState(t *trial) error {
	_, state, want, err := t.fitted(t.shared())
	if err != nil {
		return err
	}
	kept, err := throughFile(state)
	if err != nil {
		return &broken{paragraph: "6.8", expected: "a state that a run can keep", seen: err.Error()}
	}
	p, err := t.predictor(t.fresh())
	if err != nil {
		return err
	}
	got, err := p.predict(kept)
	if err != nil {
		return &broken{paragraph: "6.8", expected: "predictions from a state that was saved, in a process that has learned nothing", seen: words(err), log: logOf(err),
			advice: "find the tensors of the state by their names, and keep all that Predict needs in them"}
	}
	if why := tensorsDiffer(got, want); why != "" {
		return &broken{paragraph: "6.8", expected: "the same predictions from a state that was saved, in a process that has learned nothing", seen: why}
	}
	return nil
}

// scores has the predictions judged.
func scores(t *trial) error {
	p, _, columns, err := t.fitted(t.shared())
	if err != nil {
		return err
	}
	in := plugin.ScoreInput{Predictions: columns, Labels: p.label[1], FitLabels: p.label[0]}
	answer, err := p.Score(t.ctx, in)
	if err != nil {
		return err
	}
	wrong := func(expected, format string, a ...any) error {
		return &broken{paragraph: "6.9", expected: expected, seen: fmt.Sprintf(format, a...)}
	}
	if len(answer.Metrics) == 0 {
		return wrong("at least one metric: the first is the headline", "none")
	}
	seen := map[string]bool{}
	for _, m := range answer.Metrics {
		if m.Name == "" || m.Doc == "" || seen[m.Name] {
			return wrong("metrics with a name of their own that say how they are measured", "%q: %q", m.Name, m.Doc)
		}
		seen[m.Name] = true
		if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
			return wrong("finite metrics", "%s is %v", m.Name, m.Value)
		}
	}
	for _, f := range answer.Figures {
		if err := figure(f, uint64(t.given.Rows), uint64(p.x[1].Shape[0])); err != nil {
			return wrong("figures that can be drawn", "%q: %v", f.Title, err)
		}
	}
	again, err := p.Score(t.ctx, in)
	if err != nil {
		return err
	}
	for i, m := range answer.Metrics {
		if i >= len(again.Metrics) || again.Metrics[i].Value != m.Value {
			return wrong("the same metrics of the same predictions", "another %s the second time", m.Name)
		}
	}
	return nil
}

// figure says why a figure cannot be drawn.
func figure(f *protocol.Figure, fitted, predicted uint64) error {
	if f.Title == "" {
		return errors.New("it has no title")
	}
	switch is := f.GetIs().(type) {
	case *protocol.Figure_Matrix:
		if m := is.Matrix; len(m.Values) != len(m.Rows)*len(m.Columns) {
			return fmt.Errorf("%d values for %d rows and %d columns", len(m.Values), len(m.Rows), len(m.Columns))
		}
	case *protocol.Figure_Scatter:
		if len(is.Scatter.X) != len(is.Scatter.Y) {
			return fmt.Errorf("%d places across for %d upwards", len(is.Scatter.X), len(is.Scatter.Y))
		}
		for _, s := range is.Scatter.Series {
			if len(s.X) != len(s.Y) {
				return fmt.Errorf("the line %q has %d places across for %d upwards", s.Name, len(s.X), len(s.Y))
			}
		}
	case *protocol.Figure_Panels:
		for _, l := range is.Panels.Lines {
			if l.Query >= predicted || len(l.Values) != len(l.Rows) {
				return fmt.Errorf("the query %d of %d, with %d values for %d rows", l.Query, predicted, len(l.Values), len(l.Rows))
			}
			for _, r := range l.Rows {
				if r >= fitted {
					return fmt.Errorf("row %d of %d", r, fitted)
				}
			}
		}
	default:
		return errors.New("it is of no known kind")
	}
	return nil
}

// few learns from one row, and from rows of one label.
func few(t *trial) error {
	h := t.shared()
	for _, n := range []int{1, 2, 6} {
		task, err := h.Task(t.ctx, t.ref())
		if err != nil {
			return err
		}
		needs, err := task.Needs(t.ctx, &protocol.TaskNeedsRequest{Width: uint32(t.given.Width), FitRows: uint64(n), PredictRows: 3, Labels: t.labelFacts(uint64(n))})
		what := fmt.Sprintf("to learn from %d rows of one label", n)
		if err == nil {
			x, labels := t.objects(0, n, 0, needs.Labels)
			for _, l := range labels {
				for i := range l.F64 {
					l.F64[i] = l.F64[0]
				}
			}
			in := plugin.FitInput{X: x, Labels: labels, Seed: 8, StateBytes: needs.StateBytes}
			for i := range n {
				in.Samples = append(in.Samples, uint64(i+1))
			}
			var state []plugin.Tensor
			if state, err = task.Fit(t.ctx, in); err == nil {
				y, _ := t.objects(1, 3, 0, nil)
				_, err = task.Predict(t.ctx, state, y, needs.PredictionBytes)
				what = "to predict after it learned from " + fmt.Sprintf("%d rows of one label", n)
			}
		}
		if err != nil && !refusal(err) && fault.KindOf(err) != fault.Resource {
			return &broken{paragraph: "6.10", expected: what + ", or a refusal that says why", seen: words(err), log: logOf(err),
				advice: "an error of the data (DataError) says which labels are missing; users draw few of them"}
		}
	}
	return nil
}

// taskBatches learns and answers again and again.
func taskBatches(t *trial, h *home) (func(i int) error, int64, error) {
	p, state, _, err := t.fitted(h)
	if err != nil {
		return nil, 0, err
	}
	return func(i int) error {
		if i%8 == 0 {
			if _, err := p.fit(); err != nil {
				return err
			}
		}
		_, err := p.predict(state)
		return err
	}, int64(4 * (len(p.x[0].F32)/8 + len(p.x[1].F32))), nil
}
