package experiment

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"

	"github.com/asterism-ssl/asterism/core/fault"
)

// resolve turns a checked file into the Experiment.
func (c *checker) resolve(abs string) (*Experiment, error) {
	broken := func(path string, err error) error {
		f := &fault.Error{Where: place(c.places, path), Path: path, What: "cannot be written as data", Err: err}
		l := faults{}
		l.add(f)
		return fault.List(l)
	}
	tree, err := c.tree(c.whole, path{})
	if err != nil {
		return nil, broken("", err)
	}
	e := &Experiment{File: abs, places: c.places, Plugins: c.used}
	whole := tree.(map[string]any) // the language is a struct
	delete(whole, "plugins")       // what is wished for is in the binary, or stands in what is used
	if len(c.used) > 0 {
		whole["plugins"] = c.used
	}
	if e.Resolved, err = canonical(tree); err != nil {
		return nil, broken("", err)
	}
	var doc struct {
		Name string
		Seed uint64
		Data struct {
			Sources []json.RawMessage
			Frame   struct {
				Size  json.RawMessage
				Bands []string
			}
			Split Split
		}
		Views   map[string][]json.RawMessage
		Encoder struct{ From string }
		Engine  json.RawMessage
		Train   struct {
			Epochs, Batch     int
			Optimizer         optimizer
			Schedule          schedule
			Precision         string
			CheckpointMinutes float64 `json:"checkpoint_minutes"`
			Monitor           json.RawMessage
		}
		Tasks map[string]struct {
			Against  []string
			Labels   []any
			Draws    int
			Judge    string
			Finetune *struct {
				Epochs, Batch int
				LeastSteps    int `json:"least_steps"`
				Optimizer     optimizer
				Schedule      schedule
				EncoderLR     float64 `json:"encoder_lr"`
			}
		}
	}
	if err := json.Unmarshal(e.Resolved, &doc); err != nil {
		return nil, broken("", err)
	}
	e.Name, e.Seed, e.From = doc.Name, doc.Seed, doc.Encoder.From
	e.Data.Split, e.Data.Frame.Bands = doc.Data.Split, doc.Data.Frame.Bands
	if size := doc.Data.Frame.Size; len(size) > 0 {
		if size[0] != '[' {
			size = slices.Concat([]byte("["), size, []byte("]"))
		}
		if err := json.Unmarshal(size, &e.Data.Frame.Size); err != nil {
			return nil, broken("data.frame.size", err)
		}
	}
	component := func(path string) Component {
		k := c.configs[path]
		raw, cerr := c.config(k.value)
		if cerr != nil && err == nil {
			err = broken(path, cerr)
		}
		plugin, local, _ := strings.Cut(k.name, ".")
		return Component{Name: k.name, Plugin: plugin, Local: local, Config: raw, Path: path, Where: place(c.places, path)}
	}
	for i := range doc.Data.Sources {
		e.Data.Sources = append(e.Data.Sources, component(fmt.Sprintf("data.sources.%d", i)))
	}
	e.Views = map[string][]Component{}
	for view, chain := range doc.Views {
		e.Views[view] = []Component{}
		for i := range chain {
			e.Views[view] = append(e.Views[view], component(fmt.Sprintf("views.%s.%d", view, i)))
		}
	}
	e.Encoder = component("encoder")
	if doc.Engine != nil {
		named := component("engine")
		e.Engine = &named
	}
	t := doc.Train
	e.Train = Train{Objective: component("train.objective"), Epochs: t.Epochs, Batch: t.Batch, Precision: t.Precision, CheckpointMinutes: t.CheckpointMinutes,
		Optimizer: t.Optimizer.one(), Schedule: t.Schedule.one()}
	if t.Monitor != nil {
		monitor := component("train.monitor")
		e.Train.Monitor = &monitor
	}
	for name, task := range doc.Tasks {
		q := Task{Name: name, Component: component("tasks." + name), Against: task.Against, Draws: task.Draws, Judge: task.Judge}
		if u := task.Finetune; u != nil {
			q.Finetune = &Finetune{Objective: component("tasks." + name + ".finetune.objective"), Epochs: u.Epochs, LeastSteps: u.LeastSteps, Batch: u.Batch,
				Optimizer: u.Optimizer.one(), Schedule: u.Schedule.one(), EncoderLR: u.EncoderLR}
		}
		for _, l := range task.Labels {
			q.Labels = append(q.Labels, fmt.Sprint(l))
			if n, ok := l.(float64); ok {
				q.Labels[len(q.Labels)-1] = strconv.FormatInt(int64(n), 10)
			}
		}
		e.Tasks = append(e.Tasks, q)
	}
	for path := range c.configs {
		e.components = append(e.components, component(path))
	}
	slices.SortFunc(e.components, func(a, b Component) int {
		return cmp.Or(inFile(a.Where, b.Where), strings.Compare(a.Path, b.Path))
	})
	slices.SortFunc(e.Tasks, func(a, b Task) int { return strings.Compare(a.Name, b.Name) })
	if err != nil {
		return nil, err
	}
	return e, nil
}

// optimizer is #Optimizer as the language writes it.
type optimizer struct {
	SGD struct {
		LR          float64
		Momentum    float64
		WeightDecay float64 `json:"weight_decay"`
	}
}

func (o optimizer) one() Optimizer {
	return Optimizer{LR: o.SGD.LR, Momentum: o.SGD.Momentum, WeightDecay: o.SGD.WeightDecay}
}

// schedule is #Schedule as the language writes it.
type schedule struct {
	Cosine *struct {
		WarmupEpochs float64 `json:"warmup_epochs"`
	}
}

func (s schedule) one() Schedule {
	if s.Cosine == nil {
		return Schedule{Kind: "constant"}
	}
	return Schedule{Kind: "cosine", WarmupEpochs: s.Cosine.WarmupEpochs}
}

// config writes a component's configuration.
func (c *checker) config(v cue.Value) (json.RawMessage, error) {
	inner := checker{inside: "."}
	tree, err := inner.tree(v, path{})
	if err != nil {
		return nil, err
	}
	return canonical(tree)
}

// tree makes plain data of a concrete value, with the configurations of components as their schemas complete them.
func (c *checker) tree(v cue.Value, p path) (any, error) {
	if d, ok := v.Default(); ok {
		v = d
	}
	switch v.IncompleteKind() {
	case cue.StructKind:
		out := map[string]any{}
		it, err := v.Fields()
		if err != nil {
			return nil, err
		}
		for it.Next() {
			name := it.Selector().Unquoted()
			x := it.Value()
			if k, ok := c.configs[p.String()]; ok && c.inside == "" && k.name == name {
				inner := checker{inside: name}
				if out[name], err = inner.tree(k.value, path{}); err != nil {
					return nil, err
				}
				continue
			}
			if out[name], err = c.tree(x, p.field(name)); err != nil {
				return nil, err
			}
		}
		return out, nil
	case cue.ListKind:
		out := []any{}
		it, err := v.List()
		if err != nil {
			return nil, err
		}
		for i := 0; it.Next(); i++ {
			x, err := c.tree(it.Value(), p.index(i))
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
		return out, nil
	}
	b, err := v.MarshalJSON()
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var x any
	if err := d.Decode(&x); err != nil {
		return nil, err
	}
	if n, ok := x.(json.Number); ok {
		return number(n)
	}
	return x, nil
}

// number gives every spelling of a number one form: 5e-4 and 0.0005, 1 and 1.0.
func number(n json.Number) (any, error) {
	if !strings.ContainsAny(string(n), ".eE") {
		return n, nil
	}
	f, err := n.Float64()
	if err != nil {
		return nil, err
	}
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return json.Number(strconv.FormatInt(int64(f), 10)), nil
	}
	return f, nil
}

// canonical writes JSON with sorted keys and nothing escaped that need not be.
func canonical(x any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(x); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
