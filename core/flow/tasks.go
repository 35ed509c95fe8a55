package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/core/report/thumbnail"
	"github.com/asterism-ssl/asterism/core/run"
)

// taskRevision is raised when the way in which tasks are asked changes their results.
const taskRevision = 1

// question is a task with the rows on which it is fitted and judged.
type question struct {
	task   experiment.Task
	plugin *plugin.Task
	labels []string // columns
	fit    []int    // training rows that have every label
	score  []int    // rows of the part that judges that have every label
}

// questions picks the rows of every task, before anything expensive runs, so that a label that nobody has is found now.
func (f *Flow) questions(ctx context.Context, w *work) error {
	for i, t := range f.x.Tasks {
		q := &question{task: t, plugin: f.plan.tasks[i]}
		if err := f.parted(ctx, w, q); err != nil {
			return err
		}
		for _, l := range t.Labels {
			if n, err := strconv.Atoi(l); err == nil && n > len(q.fit) {
				path := "tasks." + t.Name + ".labels"
				return &fault.Error{Op: "tasks", Kind: fault.Data, Plugin: t.Component.Name, Path: path, Where: f.x.Where(path),
					What: fmt.Sprintf("asks for %d labelled objects, and the training part has %d", n, len(q.fit)), Do: `ask for fewer, or for "all"`}
			}
		}
		w.questions = append(w.questions, q)
	}
	return nil
}

// parted picks the rows of a task by the labels that it needs.
func (f *Flow) parted(ctx context.Context, w *work, q *question) error {
	t := q.task
	q.fit, q.score = w.parts.Train, w.parts.Test
	if t.Judge == "valid" {
		q.score = w.parts.Valid
	}
	needs, err := q.plugin.Needs(ctx, f.needs(w, len(q.fit), len(q.score)))
	if err != nil {
		return err
	}
	q.labels = needs.Labels
	if len(q.labels) > 0 {
		q.fit, q.score = labelled(w.store, q.fit, q.labels), labelled(w.store, q.score, q.labels)
	}
	for _, part := range []struct {
		name string
		rows []int
	}{{"training", q.fit}, {t.Judge, q.score}} {
		if len(part.rows) == 0 {
			what := fmt.Sprintf("the %s part has no object", part.name)
			if len(q.labels) > 0 {
				what = fmt.Sprintf("no object of the %s part has a value for %q", part.name, q.labels[0])
			}
			return &fault.Error{Op: "tasks", Kind: fault.Data, Plugin: t.Component.Name, Path: t.Component.Path, Where: t.Component.Where, What: what,
				Do: "name a column that has values, or give a source that has labels; data.split sets the parts"}
		}
	}
	return nil
}

func (f *Flow) needs(w *work, fit, predict int) *protocol.TaskNeedsRequest {
	width := model.Size(f.plan.graph.Outputs["representation"].Shape)
	return &protocol.TaskNeedsRequest{Width: uint32(width), FitRows: uint64(fit), PredictRows: uint64(predict), Labels: w.columns}
}

// answer makes or reuses the answer to one question.
func (f *Flow) answer(ctx context.Context, w *work, q *question) error {
	from := recipe{"task", map[string]any{
		"revision": taskRevision, "task": f.component(q.task.Component), "against": q.task.Against, "finetune": f.finetuneKey(q.task), "labels": q.task.Labels, "draws": q.task.Draws, "name": q.task.Name, "judge": q.task.Judge,
		"learned": w.learned.key, "untrained": w.untrained.key, "pixels": w.pixels.key, "data": w.digest, "split": f.x.Data.Split, "seed": f.x.Seed,
	}}
	what := fmt.Sprintf("%s on %d training objects, judged on %d %s objects", q.task.Component.Name, len(q.fit), len(q.score), q.task.Judge)
	taught, err := f.taught(ctx, w, q, from.key())
	if err != nil {
		return err
	}
	_, err = f.stage(ctx, "task "+q.task.Name, what, from, func(ctx context.Context, dir string) error {
		result, err := f.ask(ctx, w, q, taught, dir)
		if err != nil {
			return err
		}
		return run.WriteJSON(filepath.Join(dir, "result.json"), result)
	})
	if err != nil {
		return err
	}
	return f.Cache.Link(from.key(), f.dir.File("tasks", q.task.Name))
}

// ask fits, predicts and scores the task for each arm, number of labels and draw of them.
func (f *Flow) ask(ctx context.Context, w *work, q *question, taught map[lessonOf]string, dir string) (*run.TaskResult, error) {
	result := &run.TaskResult{Task: q.task.Name, Component: q.task.Component.Name, Part: q.task.Judge, FitRows: len(q.fit), ScoreRows: len(q.score)}
	scores := map[[3]string]*run.Score{}
	var order [][3]string
	for _, labels := range q.task.Labels {
		for draw := range q.draws(labels) {
			rows := f.draw(w, q, labels, draw)
			for _, name := range q.arms() {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				of, err := f.arm(w, q, name, taught[lessonOf{name, labels, draw}], rows)
				if err != nil {
					return nil, err
				}
				first := name == run.Learned && draw == 0 && labels == MostLabels(q.task.Labels)
				answer, err := f.once(ctx, w, q, of, rows, dir, first)
				if err != nil {
					return nil, err
				}
				if err := q.checkMetrics(answer.Metrics); err != nil {
					return nil, err
				}
				for _, m := range answer.Metrics {
					k := [3]string{labels, m.Name, name}
					if scores[k] == nil {
						scores[k] = &run.Score{Arm: name, Labels: labels, Metric: m.Name, Better: better(m.Better), Doc: m.Doc}
						order = append(order, k)
					}
					scores[k].Draws = append(scores[k].Draws, m.Value)
				}
				if first {
					if result.Figures, err = f.figures(w, q, rows, answer, dir); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	for _, k := range order {
		s := scores[k]
		s.Mean, s.Std = meanStd(s.Draws)
		result.Scores = append(result.Scores, *s)
	}
	return result, nil
}

// draws is how many times a number of labels is drawn; all of them can be drawn once.
func (q *question) draws(labels string) int {
	if labels == "all" {
		return 1
	}
	return q.task.Draws
}

// draw picks labelled training rows.
func (f *Flow) draw(w *work, q *question, labels string, draw int) []int {
	n, err := strconv.Atoi(labels)
	if err != nil {
		return q.fit
	}
	return Draw(f.x.Seed, draw, q.fit, n, w.store.Sample)
}

// Draw picks n of the rows that have labels: those with the smallest keyed numbers, so that a larger draw contains the
// smaller one and another object in the data moves none.
func Draw(seed uint64, draw int, rows []int, n int, sample func(row int) uint64) []int {
	k := key.New(seed, "labels")
	type lot struct {
		row    int
		number uint64
	}
	lots := make([]lot, len(rows))
	for i, r := range rows {
		lots[i] = lot{r, k.At(uint64(draw), sample(r)).Uint64()}
	}
	sort.Slice(lots, func(i, j int) bool { return lots[i].number < lots[j].number })
	drawn := make([]int, n)
	for i := range drawn {
		drawn[i] = lots[i].row
	}
	slices.Sort(drawn)
	return drawn
}

// once fits, predicts and scores on one set of representations; keep leaves state and predictions in dir.
func (f *Flow) once(ctx context.Context, w *work, q *question, of *Representations, rows []int, dir string, keep bool) (*protocol.ScoreAnswer, error) {
	request := f.needs(w, len(rows), len(q.score))
	request.Width = uint32(of.Width)
	needs, err := q.plugin.Needs(ctx, request)
	if err != nil {
		return nil, err
	}
	in := plugin.FitInput{X: matrix("x", of.Pick(rows), of.Width), Seed: f.x.Seed, StateBytes: needs.StateBytes, Labels: f.labels(w, q, rows)}
	for _, r := range rows {
		in.Samples = append(in.Samples, w.store.Sample(r))
	}
	state, err := q.plugin.Fit(ctx, in)
	if err != nil {
		return nil, err
	}
	predictions, err := q.plugin.Predict(ctx, state, matrix("x", of.Pick(q.score), of.Width), needs.PredictionBytes)
	if err != nil {
		return nil, err
	}
	if err := q.checkPredictions(predictions, len(q.score), len(rows)); err != nil {
		return nil, err
	}
	if keep {
		if err := plugin.WriteTensors(filepath.Join(dir, "state.safetensors"), state); err != nil {
			return nil, err
		}
		if err := writePredictions(filepath.Join(dir, "predictions.arrow"), predictions, q.score, w.store.ID); err != nil {
			return nil, err
		}
	}
	return q.plugin.Score(ctx, plugin.ScoreInput{Predictions: predictions, Labels: f.labels(w, q, q.score), FitLabels: f.labels(w, q, rows)})
}

// labels gathers the label columns of rows.
func (f *Flow) labels(w *work, q *question, rows []int) []plugin.Tensor {
	var labels []plugin.Tensor
	for _, name := range q.labels {
		c, _ := w.store.Column(name)
		t := plugin.Tensor{Name: name, Shape: []int64{int64(len(rows))}, F64: make([]float64, len(rows)), Categories: c.Categories}
		for k, r := range rows {
			t.F64[k] = c.Values[r]
		}
		labels = append(labels, t)
	}
	return labels
}

// figures keeps the figures as data and makes pictures of the objects that they show.
func (f *Flow) figures(w *work, q *question, rows []int, answer *protocol.ScoreAnswer, dir string) ([]run.FigureAs, error) {
	var figures []run.FigureAs
	folder := filepath.Join(dir, "figures")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, err
	}
	facts := w.store.Facts()
	side := make([]int, len(facts.Shape))
	size := 1
	for i, n := range facts.Shape {
		side[i] = int(n)
		size *= int(n)
	}
	pixels := make([]float32, size)
	picture := func(row int, value float64) (run.PanelObject, error) {
		o := run.PanelObject{ID: w.store.ID(row), Image: filepath.ToSlash(filepath.Join("figures", fmt.Sprintf("%06d.png", row))), Value: value, Label: f.labelOf(w, q, row)}
		if err := w.store.Gather(pixels, []int{row}); err != nil {
			return o, err
		}
		return o, thumbnail.Write(filepath.Join(dir, filepath.FromSlash(o.Image)), pixels, side, facts.Bands, facts.Flux)
	}
	for _, figure := range answer.Figures {
		text, err := protojson.Marshal(figure)
		if err != nil {
			return nil, err
		}
		kept := run.FigureAs{Figure: figure, Data: json.RawMessage(text)}
		for _, line := range figure.GetPanels().GetLines() {
			if line.Query >= uint64(len(q.score)) || len(line.Values) != len(line.Rows) {
				return nil, q.wrong("a figure shows rows that do not exist")
			}
			query, err := picture(q.score[line.Query], 1)
			if err != nil {
				return nil, err
			}
			panel := run.PanelLine{Query: query}
			for i, r := range line.Rows {
				if r >= uint64(len(rows)) {
					return nil, q.wrong("a figure shows rows that do not exist")
				}
				o, err := picture(rows[r], line.Values[i])
				if err != nil {
					return nil, err
				}
				panel.Answers = append(panel.Answers, o)
			}
			kept.Lines = append(kept.Lines, panel)
		}
		figures = append(figures, kept)
	}
	return figures, nil
}

// labelOf is the first label of an object as text.
func (f *Flow) labelOf(w *work, q *question, row int) string {
	if len(q.labels) == 0 {
		return ""
	}
	c, _ := w.store.Column(q.labels[0])
	v := c.Values[row]
	switch {
	case math.IsNaN(v):
		return ""
	case len(c.Categories) > 0:
		return c.Categories[int(v)]
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

func matrix(name string, values []float32, width int) plugin.Tensor {
	return plugin.Tensor{Name: name, Shape: []int64{int64(len(values) / width), int64(width)}, F32: values}
}

// MostLabels is the number of labels whose figures are shown and whose state is kept, of the first draw: all, or the most.
func MostLabels(labels []string) string {
	best, most := labels[0], -1
	for _, l := range labels {
		n, err := strconv.Atoi(l)
		if err != nil {
			return l
		}
		if n > most {
			best, most = l, n
		}
	}
	return best
}

func better(b protocol.Metric_Better) string {
	switch b {
	case protocol.Metric_HIGHER:
		return "higher"
	case protocol.Metric_LOWER:
		return "lower"
	}
	return ""
}

// meanStd gives the mean and the sample standard deviation, 0 for one value.
func meanStd(x []float64) (mean, std float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	if len(x) < 2 {
		return mean, 0
	}
	for _, v := range x {
		std += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(std / float64(len(x)-1))
}
