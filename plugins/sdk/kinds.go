package sdk

import (
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Reader is a dataset. Open is called once, first; Read and ReadFile afterwards, from several goroutines.
type Reader interface {
	// Open looks at the data without reading it all. A missing folder or column is an error: use DataError or FieldError.
	Open() (*protocol.Catalogue, error)
	// Read reads record i, 0 ≤ i < Catalogue.Count. A record that cannot be had is Bad, not an error.
	Read(i int, r *Record) error
}

// FileReader is a Reader whose records are files of their own, so that somebody can ask for the like of one file or predict
// for one. A Reader that is none has objects that are parts of files, or no files.
type FileReader interface {
	// ReadFile reads one given file as a record, as the stream has it; it need not be among the data.
	ReadFile(path string, r *Record) error
}

// Record is one object of a dataset. Set Bad, or the rest.
type Record struct {
	ID     string
	Shape  []int     // spatial…, bands
	U8     []byte    // pixels when the catalogue says U8, row-major
	F32    []float32 // pixels when it says F32
	Values []any     // in the order of Catalogue.Fields: float64, string, or nil where missing
	Bad    string    // why the record is left out: the file and what is wrong with it
}

// Augmenter transforms one sample at a time. Plan is called once; Apply from several goroutines.
type Augmenter interface {
	// Plan says what leaves the augmentation when facts enter it, or why it cannot.
	Plan(facts *protocol.SampleFacts) (*protocol.AugmentationPlan, error)
	// Apply fills s.Out from s.In.
	Apply(s *Sample) error
}

// Sample is one object on its way through an augmentation. Pixels are channels-last.
type Sample struct {
	In, Out    []float32
	Facts      *protocol.SampleFacts      // of In
	OutShape   []int64                    // of Out
	Random     *key.Source                // this draw's own source: (seed, view, component, epoch, sample)
	Statistics []*protocol.BandStatistics // of the training split, in the order of the bands, when the plan asks for them
	Column     map[string]float64         // columns that the plan reads
	Add        map[string]float64         // columns that the plan adds: fill them
}

// Architecture is an encoder.
type Architecture interface {
	// Describe gives the model for samples of this shape (spatial…, bands), with outputs "features" and "representation".
	Describe(input []int64) (*protocol.Model, error)
}

// Learner is an objective. It is called from one goroutine. One that remembers something from step to step is Stateful too.
type Learner interface {
	// Plan gives the program for the training loop, or why it cannot be had (a queue that is no multiple of the batch).
	Plan(r *protocol.ProgramRequest) (*protocol.Program, error)
	// Loss computes the loss of one step and fills the gradients.
	Loss(s *Step) (*protocol.LossAnswer, error)
}

// Stateful is an objective with a state, whose size Program.StateBytes bounds.
type Stateful interface {
	// State gives all that Loss remembers, to be kept in checkpoints.
	State() []Tensor
	// SetState puts back what State gave, after Plan; from then on Loss answers as it would have.
	SetState([]Tensor) error
}

// Tensor is a named array: a view of shared memory in calls, or the author's own memory in answers. One of the data
// slices is set.
type Tensor struct {
	Name       string
	Shape      []int
	F32        []float32
	F64        []float64
	I64        []int64
	Categories []string // where the values are indices into a list of names
	Fitted     bool     // of a prediction: the values are rows of what Fit was given
}

// ByName gives tensors by their names: of a state, or of a prediction.
func ByName(tensors []Tensor) map[string]Tensor {
	named := make(map[string]Tensor, len(tensors))
	for _, t := range tensors {
		named[t.Name] = t
	}
	return named
}

// Step is one step of training as an objective sees it.
type Step struct {
	Step      uint64
	Taps      map[string]Tensor // F32 [batch, width]
	Gradients map[string]Tensor // to be filled; only taps of passes with gradient
	Labels    map[string]Tensor // F64 [batch], NaN where missing
}

// Predictor is a task. Labels never reach Predict.
type Predictor interface {
	Needs(r *protocol.TaskNeedsRequest) (*protocol.TaskNeeds, error)
	// Fit learns from training rows and gives the state that Predict needs.
	Fit(f *FitData) ([]Tensor, error)
	// Predict gives columns, [rows] or [rows, k].
	Predict(state []Tensor, x Tensor) ([]Tensor, error)
	// Score compares predictions with labels.
	Score(s *ScoreData) (*protocol.ScoreAnswer, error)
}

// FitData is what a task learns from.
type FitData struct {
	X       Tensor            // F32 [rows, width]
	Labels  map[string]Tensor // F64 [rows]
	Weights []float64         // nil: all one
	Seed    uint64
	Samples []uint64 // sample ids, for keyed randomness
}

// ScoreData is what a task is judged on.
type ScoreData struct {
	Predictions []Tensor
	Labels      map[string]Tensor // of the predicted rows
	FitLabels   map[string]Tensor // of the fitted rows
}
