package run

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Manifest is manifest.json: what a run used and where it stands. Everything recorded here that is not part of a stage's
// key (binary, threads, paths) explains a result and never changes it.
type Manifest struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"`                // name-hash8, the directory's name
	Experiment string            `json:"experiment"`        // absolute path of the file
	Command    []string          `json:"command,omitempty"` // as it was typed
	Folder     string            `json:"folder"`            // in which it was started: relative paths in the experiment are relative to it
	Status     string            `json:"status"`            // Running, Interrupted, Failed or Done
	Error      string            `json:"error,omitempty"`
	Started    time.Time         `json:"started"`
	Finished   time.Time         `json:"finished,omitzero"`
	Version    string            `json:"version"` // of asterism
	Binary     string            `json:"binary"`  // SHA-256 of the executable
	Machine    Machine           `json:"machine"`
	Plugins    map[string]string `json:"plugins"`           // name → version
	Digests    map[string]string `json:"digests,omitempty"` // name → digest of the files, of plugins that are not in the binary
	Stages     []StageRecord     `json:"stages"`
	Notices    []Notice          `json:"notices,omitempty"`
}

// The statuses of a run.
const (
	Running     = "running"
	Interrupted = "interrupted" // by request, or killed: the same command continues it
	Failed      = "failed"
	Done        = "done"
)

// Machine describes where a run was made.
type Machine struct {
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	CPU     string `json:"cpu"`
	Threads int    `json:"threads"`
	Engine  string `json:"engine"` // of the last sitting: "native: AVX-512"; the stages say what computed them
}

// StageRecord is one stage of a run.
type StageRecord struct {
	Name     string     `json:"name"` // "data", "train", "embed", "untrained", "task morphology"
	Key      string     `json:"key"`
	Reused   bool       `json:"reused"`
	Seconds  float64    `json:"seconds"`
	Computed []Computed `json:"computed,omitempty"` // of a stage that an engine computes; in the order of FromStep

	Waits map[string]float64 `json:"waits,omitempty"` // of a stage that reads data: share of its time spent waiting for each plugin
}

// Computed says what computed a stage, or a training from one step on. Each computes the same bits whenever it is asked;
// two of them differ in the last ones.
type Computed struct {
	Engine   string `json:"engine"` // "native"
	Revision int    `json:"revision"`
	Kernels  string `json:"kernels"`             // "AVX-512 with bfloat16"
	FromStep int    `json:"from_step,omitempty"` // of a training: the steps done before
}

// Same says whether both compute the same bits.
func (c Computed) Same(o Computed) bool {
	return c.Engine == o.Engine && c.Revision == o.Revision && c.Kernels == o.Kernels
}

// String names the engine and its kernels: "native: AVX2".
func (c Computed) String() string { return c.Engine + ": " + c.Kernels }

// Engines names every engine, with its kernels, that computed something of the run, in this sitting or an earlier one.
func (m *Manifest) Engines() string {
	var names []string
	for _, s := range m.Stages {
		for _, c := range s.Computed {
			if name := c.String(); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return m.Machine.Engine
	}
	return strings.Join(names, "; ")
}

// By says what computed a stage: "native: portable Go, after step 5 native: AVX-512"; empty where no engine did.
func (s StageRecord) By() string {
	var parts []string
	for _, c := range s.Computed {
		text := c.String()
		if c.FromStep > 0 {
			text = fmt.Sprintf("after step %d %s", c.FromStep, text)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// Notice counts things that a user should know of and that stopped nothing.
type Notice struct {
	Where    string   `json:"where"` // "data.sources.1 images.folder"
	What     string   `json:"what"`  // "undecodable files"
	Count    int      `json:"count"`
	Examples []string `json:"examples"`
}

// MetricLine is one line of metrics.jsonl.
type MetricLine struct {
	Step      uint64             `json:"step"`
	Epoch     float64            `json:"epoch"`
	Seconds   float64            `json:"seconds"` // of training so far, over all sittings
	Loss      float64            `json:"loss"`
	LR        float64            `json:"lr"`
	ImagesPS  float64            `json:"images_per_s"`
	StallFrac float64            `json:"stall"`           // share of the time spent waiting for views
	Waits     map[string]float64 `json:"waits,omitempty"` // share of the time spent waiting for each plugin, in this sitting
	Metrics   map[string]float64 `json:"metrics,omitempty"`
	Health    map[string]float64 `json:"health,omitempty"` // of the representations, at the end of an epoch
}

// WaitText names the plugins that were waited for during at least so large a share of the time, the longest first: "sky
// 12 %, contrast 1 %".
func WaitText(shares map[string]float64, least float64) string {
	names := slices.SortedFunc(maps.Keys(shares), func(a, b string) int {
		return cmp.Or(cmp.Compare(shares[b], shares[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, name := range names {
		if shares[name] >= least {
			parts = append(parts, fmt.Sprintf("%s %.0f %%", name, 100*shares[name]))
		}
	}
	return strings.Join(parts, ", ")
}

// Plan is plan.json: shapes and costs, known before anything is computed.
type Plan struct {
	Name      string        `json:"name"`
	Sources   []PlanSource  `json:"sources"`
	Frame     Shape         `json:"frame"`
	Views     []PlanView    `json:"views"`
	Encoder   PlanNetwork   `json:"encoder"`
	Heads     []PlanNetwork `json:"heads"`
	Objective string        `json:"objective"`
	Engine    string        `json:"engine,omitempty"` // with its device, where the experiment names one
	Epochs    int           `json:"epochs"`
	Facts     []PlanFact    `json:"facts"` // effective negatives, steps, memory, …
	Tasks     []PlanTask    `json:"tasks"`
}

// Shape is the shape of one sample with its bands.
type Shape struct {
	Shape []int64  `json:"shape"` // spatial…, bands
	Bands []string `json:"bands"`
	Flux  string   `json:"flux"`
}

// Box is a part of the frame, for each spatial axis.
type Box struct {
	From []int64 `json:"from"` // pixels before it
	Size []int64 `json:"size"`
}

// PlanSource is one dataset of the plan.
type PlanSource struct {
	Component string   `json:"component"`
	Count     int      `json:"count"`
	Sample    Shape    `json:"sample"`
	Columns   []string `json:"columns"`
	Notices   []Notice `json:"notices,omitempty"`
}

// PlanView is one pipeline, link by link.
type PlanView struct {
	Name  string     `json:"name"`
	Links []PlanLink `json:"links"`
	Seen  *Box       `json:"seen,omitempty"` // what leaves it of a sample as it is stored; nil where that is drawn at random
}

// PlanLink is one augmentation and what leaves it.
type PlanLink struct {
	Component string `json:"component"`
	Leaves    Shape  `json:"leaves"`
}

// PlanNetwork is an encoder or a head.
type PlanNetwork struct {
	Name       string       `json:"name"`
	Component  string       `json:"component,omitempty"`
	Parameters int64        `json:"parameters"`
	FLOPs      int64        `json:"flops"` // forward, one sample
	Output     []int64      `json:"output"`
	Layers     []PlanLayer  `json:"layers,omitempty"`
	Weights    *PlanWeights `json:"weights,omitempty"` // what an encoder starts with; nil: drawn weights
}

// PlanWeights are weights that were not drawn.
type PlanWeights struct {
	From   string   `json:"from"` // as the experiment has it
	File   string   `json:"file"` // absolute path
	SHA256 string   `json:"sha256"`
	Prefix string   `json:"prefix"`         // of the encoder's names in the file
	Left   []string `json:"left,omitempty"` // arrays of a head that were left out
}

// String is all of it on one line.
func (w *PlanWeights) String() string {
	text := w.File + ", SHA-256 " + w.SHA256
	if w.Prefix != "" {
		text += ", there as " + w.Prefix + "…"
	}
	if len(w.Left) > 0 {
		text += ", without " + strings.Join(w.Left, ", ")
	}
	return text
}

// PlanLayer is one layer with the shape that leaves it.
type PlanLayer struct {
	Name  string  `json:"name"`
	Op    string  `json:"op"`
	Shape []int64 `json:"shape"`
	FLOPs int64   `json:"flops"`
}

// PlanFact is one line of the plan.
type PlanFact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// PlanTask is one question of the plan.
type PlanTask struct {
	Name      string   `json:"name"`
	Component string   `json:"component"`
	Labels    []string `json:"labels"`
}

// The arms of a task: the representations from which it is answered, each in the same way.
const (
	Learned    = "learned"    // of the trained encoder
	Finetuned  = "finetuned"  // of the same after learning on from the task's own labels
	Supervised = "supervised" // of an encoder that learned from those labels alone
	Untrained  = "untrained"  // of the encoder with its initial weights
	Pixels     = "pixels"     // the samples themselves, made small
	Constant   = "constant"   // without information: the majority class, the constant prediction
)

// Arms are all of them, in the order in which they are shown.
var Arms = []Arm{
	{Learned, "from the learned representation"},
	{Finetuned, "from that of the same encoder, trained on with the labels at hand"},
	{Supervised, "from that of an encoder trained with those labels alone"},
	{Untrained, "from that of the encoder untrained, with its random first weights"},
	{Pixels, "from the pixels themselves, averaged in blocks"},
	{Constant, "by a constant answer that does not look at the objects"},
}

// Arm is one of them for a reader.
type Arm struct{ Name, About string }

// TaskResult is tasks/NAME/result.json: everything that the table and the report show of a task.
type TaskResult struct {
	Task      string     `json:"task"`
	Component string     `json:"component"`
	Part      string     `json:"part"` // "test" or "valid": what the scores are measured on
	FitRows   int        `json:"fit_rows"`
	ScoreRows int        `json:"score_rows"`
	Scores    []Score    `json:"scores"`
	Figures   []FigureAs `json:"figures"` // of the learned arm, with all labels, first draw
}

// Score is one number with its spread over the draws of labels.
type Score struct {
	Arm    string    `json:"arm"`
	Labels string    `json:"labels"` // "50" or "all"
	Metric string    `json:"metric"`
	Better string    `json:"better"` // "higher", "lower", ""
	Doc    string    `json:"doc"`
	Draws  []float64 `json:"draws"`
	Mean   float64   `json:"mean"`
	Std    float64   `json:"std"` // standard deviation over draws; 0 for one draw
}

// FigureAs is a figure as data, with the pictures of its objects when it shows objects.
type FigureAs struct {
	Figure *protocol.Figure `json:"-"`
	Data   json.RawMessage  `json:"data"` // protojson of protocol.Figure
	Lines  []PanelLine      `json:"lines,omitempty"`
}

// PanelLine is a query and its neighbours with their pictures, files in tasks/NAME/figures.
type PanelLine struct {
	Query   PanelObject   `json:"query"`
	Answers []PanelObject `json:"answers"`
}

// PanelObject is one picture.
type PanelObject struct {
	ID    string  `json:"id"`
	Image string  `json:"image"` // PNG file, relative to tasks/NAME
	Value float64 `json:"value"` // similarity to the query
	Label string  `json:"label,omitempty"`
}
