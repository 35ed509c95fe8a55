// Package experiment reads an experiment: one CUE file in, a concrete Experiment out, and every message about what is
// wrong with it, all at once, each at its line.
//
//	e, err := experiment.Load("efigi.cue", experiment.Options{Schemas: installed, Tags: []string{"root=/data"}})
//
// Load needs no process, no data and no network; for an encoder that is named by its weights alone, it looks at these. The language is defined by the module in schemas/; the configuration
// of a component by the schema that the component brings along.
package experiment

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/schemas"
)

// Experiment is a checked experiment: every value is given or filled in, and every component exists.
type Experiment struct {
	Name    string
	Seed    uint64
	Data    Data
	Views   map[string][]Component
	Encoder Component
	From    string // encoder.from: the run or the file whose weights the encoder starts with; empty: they are drawn
	Train   Train
	Engine  *Component        // what computes the networks; nil: the native engine
	Tasks   []Task            // sorted by name
	Plugins map[string]string // name → version, of those used that are not in the binary

	File     string // absolute path of the file that was read
	Text     []byte // of it
	Resolved []byte // canonical JSON of the whole, defaults included: equal experiments have equal bytes

	places     map[string]string // path → position
	components []Component
}

// Components gives every component that the experiment names, in the order of the file.
func (e *Experiment) Components() []Component { return e.components }

// Component is a component as an experiment names it.
type Component struct {
	Name          string          // "sky.rotate"
	Plugin, Local string          // "sky", "rotate"
	Config        json.RawMessage // canonical JSON, defaults included
	Path          string          // "views.train.0"
	Where         string          // "efigi.cue:12:4"
}

// Data says where samples come from, what they are brought to, and which are held out.
type Data struct {
	Sources []Component
	Frame   Frame
	Split   Split
}

// Frame is what every sample is brought to before it is stored.
type Frame struct {
	Size  []int    // pixels: one number for every axis, or one an axis; nil: the shape of the first source
	Bands []string // nil: all
}

// Split says which samples are held out of training.
type Split struct {
	Valid, Test float64 // shares, 0 ≤ each, sum < 1
	By          string  // "id" or a column
}

// Train says how the encoder learns.
type Train struct {
	Objective         Component
	Epochs, Batch     int
	Optimizer         Optimizer
	Schedule          Schedule
	Precision         string     // "float32"
	CheckpointMinutes float64    // between checkpoints
	Monitor           *Component // a task that is asked while training; nil: none
}

// Optimizer is stochastic gradient descent with momentum.
type Optimizer struct {
	LR, Momentum, WeightDecay float64
}

// Schedule says how the learning rate changes.
type Schedule struct {
	Kind         string  // "cosine" or "constant"
	WarmupEpochs float64 // of cosine
}

// Task is one question.
type Task struct {
	Name string
	Component
	Against  []string  // the baselines: "untrained", "constant", "pixels", "finetuned", "supervised"
	Finetune *Finetune // how the last two are trained; may be nil without them
	Labels   []string  // "50", "all"
	Draws    int
	Judge    string // the part of the split that answers are judged on: "test" or "valid"
}

// Finetune says how an encoder is trained with the labels of a task.
type Finetune struct {
	Objective  Component
	Epochs     int
	LeastSteps int // steps that a training has at least
	Batch      int
	Optimizer  Optimizer
	Schedule   Schedule
	EncoderLR  float64 // what the learning rate of an encoder that was learned before is multiplied with
}

// Options are what the command line adds to the file.
type Options struct {
	Tags    []string // -t name=value
	Sets    []string // --set path=value
	Schemas Schemas  // the installed components
	Text    []byte   // read instead of the file, which messages name all the same

	// Want has a plugin taken in the version that the experiment names, before its components are looked up. Nil: whatever
	// is named will do.
	Want func(plugin, version string) error

	// Missing says why there is no component of a name. Nil: nobody knows more than that.
	Missing func(component string) error

	// EncoderOf says of which encoder the weights are that encoder.from names, for a file that does not. Nil: it must.
	EncoderOf func(from string) (component string, config json.RawMessage, err error)
}

// Schemas knows the installed components.
type Schemas interface {
	// Schema gives the schema of a component, "sky.rotate".
	Schema(component string) (Schema, bool)
	// List gives all of them.
	List() []Schema
}

// Schema is what a component says about its configuration.
type Schema struct {
	Name     string // "sky.rotate"
	Kind     protocol.Kind
	Text     string // CUE text that defines #Config
	Revision uint32
	Plugin   string // "sky"
	Version  string // of the plugin; empty for one in the binary, which comes with it
}

// Load reads and checks an experiment. Its error is a fault.List with everything that is wrong, in the order of the file.
// Nothing is written, no process is started and nothing is fetched.
func Load(file string, o Options) (e *Experiment, err error) {
	defer func() { // the evaluator is not ours, and the file may hold anything
		if r := recover(); r != nil {
			e, err = nil, fault.List{{Op: "vet", Kind: fault.Config, Where: file, What: "this file cannot be evaluated", Do: "simplify it", Err: fmt.Errorf("%v", r)}}
		}
	}()
	src := o.Text
	if src == nil {
		if src, err = os.ReadFile(file); err != nil {
			return nil, fault.List{unreadable(file, err)}
		}
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, fault.List{{Op: "vet", Kind: fault.Internal, Where: file, What: "no absolute path", Err: err}}
	}
	syntax, unparsed := parse(file, src, o)
	if unparsed != nil {
		return nil, unparsed.sorted(file)
	}
	ctx := cuecontext.New()
	// Where the file cannot be evaluated, what is said about it is kept, the field is left blank, and the rest is looked at.
	var l faults
	blank := map[string]bool{}
	given, broken := evaluate(ctx, syntax, abs)
	for tries := 0; broken != nil; tries++ {
		l = append(l, broken.list...)
		if tries == maxBlanks || !leaveBlank(syntax.file, broken.at, blank) {
			return nil, l.sorted(file)
		}
		given, broken = evaluate(ctx, syntax, abs)
	}
	refused, unwanted := wanted(given, file, o.Want)
	l = append(l, refused...)
	given, unnamed := withEncoder(ctx, file, given, o.EncoderOf)
	if unnamed != nil {
		l.add(unnamed)
	}
	language := ctx.CompileString(schemas.Experiment, cue.Filename(languageFile)).LookupPath(cue.ParsePath("#Experiment"))
	if err := language.Err(); err != nil {
		return nil, fault.List{{Op: "vet", Kind: fault.Internal, What: "the schema of experiments does not compile", Err: err}}
	}
	c := &checker{ctx: ctx, file: file, schemas: o.Schemas, weights: o.EncoderOf != nil, tags: syntax.tags, whole: given.Unify(language), blank: blank, places: map[string]string{}, configs: map[string]config{}, used: map[string]string{}, unwanted: unwanted, missing: o.Missing, said: map[string]bool{}, faults: l}
	c.check(language, given, syntax.begins())
	if len(c.faults) > 0 {
		return nil, c.faults.sorted(file)
	}
	if e, err = c.resolve(abs); err != nil {
		return nil, err
	}
	e.Text = src
	return e, nil
}

// Where gives the position file:line:column of a path such as "views.train.1" or "train.batch", or of what encloses it
// where the file leaves it out.
func (e *Experiment) Where(path string) string { return place(e.places, path) }

func place(places map[string]string, path string) string {
	for {
		if at, ok := places[path]; ok {
			return at
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return places[""]
		}
		path = path[:i]
	}
}

func unreadable(file string, err error) *fault.Error {
	e := &fault.Error{Op: "vet", Kind: fault.Config, Where: file, What: "cannot read this file", Err: err}
	switch info, statErr := os.Stat(file); {
	case os.IsNotExist(err):
		e.What, e.Err, e.Do = "no such file", nil, "give the path of an experiment, such as experiments/quickstart.cue"
	case statErr == nil && info.IsDir():
		e.What, e.Err, e.Do = "this is a folder, not an experiment", nil, "name the .cue file in it"
	}
	return e
}
