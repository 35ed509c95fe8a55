package conformance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	cueerrors "cuelang.org/go/cue/errors"

	"github.com/asterism-ssl/asterism/core/experiment"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/grpc/status"
)

// schemaChecks look at a component's schema, componentChecks at every case of it, severalChecks where there are several.
// lastChecks come after the kind's own.
var (
	schemaChecks    = []check{{"schema", []string{"1.2", "1.3", "1.4"}, schema, false}}
	componentChecks = []check{{"configuration", []string{"1.5"}, configuration, true}}
	severalChecks   = []check{{"instances", []string{"1.5"}, instances, false}}
	lastChecks      = []check{{"memory", []string{"1.11"}, steady, false}, {"closes", []string{"1.7"}, closesUsed, false}}
)

// stranger is a field that no schema has.
const stranger = "asterism_no_such_field"

// schema looks whether the schema compiles, refuses what it does not know, and explains what it does.
func schema(t *trial) error {
	if s := t.info.Summary; strings.TrimSpace(s) == "" || strings.ContainsAny(s, "\n\r") {
		return &broken{paragraph: "1.2", expected: "a summary of one line", seen: fmt.Sprintf("%q", s)}
	}
	ctx := cuecontext.New()
	v := ctx.CompileString(t.info.Schema, cue.Filename("schema.cue"))
	if v.Err() != nil {
		return &broken{paragraph: "1.3", expected: "CUE that compiles by itself", seen: strings.TrimSpace(cueerrors.Details(v.Err(), nil))}
	}
	config := v.LookupPath(cue.MakePath(cue.Def("Config")))
	if err := config.Err(); err != nil {
		return &broken{paragraph: "1.3", expected: "a definition #Config", seen: err.Error()}
	}
	if config.IncompleteKind() != cue.StructKind {
		return &broken{paragraph: "1.3", expected: "a #Config with fields, { … }", seen: fmt.Sprint("a ", config.IncompleteKind())}
	}
	return read(ctx, config, "#Config")
}

// read looks at a struct of a schema and what lies within.
func read(ctx *cue.Context, v cue.Value, path string) error {
	if v.IncompleteKind()&cue.StructKind != 0 {
		// What [string]: number allows is another matter than what "..." does: the former has no struct in it.
		unknown := ctx.CompileString("{" + stranger + ": {" + stranger + ": true}}")
		if u := v.Unify(unknown); u.Err() == nil && u.Validate() == nil {
			return &broken{paragraph: "1.3", expected: "that " + path + " refuses a field that it does not know", seen: "it takes one",
				advice: "take the \"...\" out: a field that is spelt wrongly would not be noticed"}
		}
		it, err := v.Fields(cue.Optional(true))
		if err != nil {
			return &broken{paragraph: "1.3", expected: "fields of " + path, seen: err.Error()}
		}
		for it.Next() {
			at := path + "." + it.Selector().Unquoted()
			if !documented(it.Value()) {
				return &broken{paragraph: "1.4", expected: "a comment over each field that says what it is", seen: "there is none over " + at,
					advice: "asterism schema show and editors show these comments to users"}
			}
			if err := read(ctx, it.Value(), at); err != nil {
				return err
			}
		}
		if any := v.LookupPath(cue.MakePath(cue.AnyString)); any.Exists() && any.IncompleteKind() == cue.StructKind {
			return read(ctx, any, path+".<name>")
		}
	}
	if v.IncompleteKind()&cue.ListKind != 0 {
		if element := v.LookupPath(cue.MakePath(cue.AnyIndex)); element.Exists() && element.IncompleteKind() == cue.StructKind {
			return read(ctx, element, path+"[…]")
		}
	}
	return nil
}

func documented(v cue.Value) bool {
	for _, g := range v.Doc() {
		if strings.TrimSpace(g.Text()) != "" {
			return true
		}
	}
	return false
}

// alone is a component as all that an experiment could name.
type alone experiment.Schema

// Schema implements the language's view of what is installed.
func (a alone) Schema(name string) (experiment.Schema, bool) {
	return experiment.Schema(a), name == a.Name
}

// List implements the language's view of what is installed.
func (a alone) List() []experiment.Schema { return []experiment.Schema{experiment.Schema(a)} }

// complete completes the case's configuration by the schema.
func (t *trial) complete() error {
	given := string(t.given.Config)
	if given == "" {
		given = "{}"
	}
	c, err := experiment.Configure(alone{Name: t.name, Kind: t.info.Kind, Text: t.info.Schema, Revision: t.info.Revision, Plugin: t.Spec.Name}, t.info.Kind, t.name, given)
	if err != nil {
		return err
	}
	t.config = c.Config
	return nil
}

// configuration looks whether the case's configuration is one, and whether the component takes it.
func configuration(t *trial) error {
	what := "the configuration of the case"
	if t.given.Where == "" {
		what = "the defaults of the schema"
	}
	if err := t.complete(); err != nil {
		b := &broken{paragraph: "1.5", expected: what + " to be a configuration", seen: list(err), advice: "mend it in " + t.given.Where}
		if t.given.Where == "" {
			b.advice = fmt.Sprintf("where the schema requires something, the author's folder has a conformance.cue with a case: %s: [{config: {…}}]", t.info.Name)
		}
		return b
	}
	h := t.shared()
	d, id, err := t.instance(h)
	if err != nil {
		return &broken{paragraph: "1.5", expected: "an instance of " + what, seen: words(err), log: logOf(err), advice: advice(err)}
	}
	if err := d.Release(t.ctx, id); err != nil {
		return said(err)
	}
	for _, call := range requests(t.info.Kind) {
		if call.make(t.ctx, d, id) == nil {
			return &broken{paragraph: "1.5", expected: "an error for " + call.name + " of an instance that was released", seen: "an answer"}
		}
	}
	return nil
}

// instances looks whether an instance answers the same where others were configured after it, as the other cases say.
func instances(t *trial) error {
	alone, err := t.beside(t.fresh(), nil)
	if err != nil {
		return err
	}
	among, err := t.beside(t.fresh(), t.others)
	if err != nil {
		return err
	}
	if among != alone {
		return &broken{paragraph: "1.5", expected: "the same of an instance, whichever others were configured after it", seen: "something else where one had the configuration of another case",
			advice: "keep the configuration in the instance, and not in a variable of the program"}
	}
	return nil
}

// beside gives what an instance does first, as text, once others have been configured.
func (t *trial) beside(h *home, others []Case) (string, error) {
	ask, err := t.question(h)
	if err != nil {
		return "", err
	}
	d, err := h.Direct(t.ctx, t.Spec.Name)
	if err != nil {
		return "", err
	}
	for _, c := range others {
		o := &trial{kit: t.kit, name: t.name, info: t.info, given: c}
		if o.complete() == nil { // where one cannot be had, its own checks say so
			d.Configure(t.ctx, t.info.Name, o.config)
		}
	}
	answer, err := ask()
	return fmt.Sprint(answer), err
}

// question makes an instance and gives what it is to be asked.
func (t *trial) question(h *home) (ask func() (any, error), err error) {
	switch t.info.Kind {
	case protocol.Kind_AUGMENTATION:
		a, err := t.typical(h)
		return func() (any, error) { return a.apply(count(3), how{}) }, err
	case protocol.Kind_DATASET:
		d, c, err := t.dataset(h)
		return func() (any, error) {
			some, err := d.Read(t.ctx, 0, int(min(c.Count, 3)))
			var all []any
			for _, r := range some {
				all = append(all, r.ID, r.Bad, r.Shape, r.U8, r.F32)
			}
			return all, err
		}, err
	case protocol.Kind_OBJECTIVE:
		l, err := t.learner(h)
		return func() (any, error) { return l.step(0) }, err
	case protocol.Kind_TASK:
		p, err := t.predictor(h)
		return func() (any, error) {
			state, err := p.fit()
			if err != nil {
				return nil, err
			}
			columns, err := p.predict(state)
			return columns, err
		}, err
	}
	return nil, notApplicable("an instance of this kind is not asked again")
}

// list gives several faults on one line, without the component's name before each.
func list(err error) string {
	var all []string
	for _, f := range fault.All(err) {
		c := *f
		c.Plugin = ""
		all = append(all, c.Error())
	}
	return strings.Join(all, "; ")
}

// words are what a fault says, without the component's name before it.
func words(err error) string {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err.Error()
	}
	c := *f
	c.Plugin = ""
	return c.Error()
}

func advice(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Do
	}
	return ""
}

// logOf is what the plugin wrote about an error.
func logOf(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Log
	}
	return ""
}

// faultOf is what a component means by an error, or nil.
func faultOf(err error) *protocol.Fault {
	for _, d := range status.Convert(err).Details() {
		if f, ok := d.(*protocol.Fault); ok {
			return f
		}
	}
	return nil
}

// refusal says whether an error is a component's own no to what it was asked, and not a defect of it.
func refusal(err error) bool {
	if f := faultOf(err); f != nil {
		return f.Cause == protocol.Fault_CONFIG || f.Cause == protocol.Fault_DATA
	}
	k := fault.KindOf(err)
	return k == fault.Config || k == fault.Data
}

// steady gives a thousand batches to the component and looks whether its process grows.
func steady(t *trial) error {
	h := t.shared()
	step, size, err := batches(t, h)
	if err != nil {
		return err
	}
	pid := h.pid()
	if _, ok := resident(pid); !ok {
		return notApplicable("the memory of another process is known on Linux only")
	}
	n := t.Batches
	began := time.Now()
	warm := 0
	for ; warm < 8 || time.Since(began) < 10*time.Second && warm < max(20, n/5); warm++ {
		if err := step(warm); err != nil {
			return err
		}
	}
	// What is slow is not given a thousand: half a minute has to do, or a task's learning twice.
	if each := time.Since(began) / time.Duration(warm); each > 0 {
		n = max(16, min(n, int(30*time.Second/each)))
	}
	window := func() (grown int64, err error) {
		var samples []int64
		for i := range n {
			if err := step(i); err != nil {
				return 0, err
			}
			if i%max(1, n/30) == 0 {
				r, _ := resident(pid)
				samples = append(samples, r)
			}
		}
		third := max(1, len(samples)/3)
		return slices.Min(samples[len(samples)-third:]) - slices.Min(samples[:third]), nil
	}
	// A heap may settle late; what is lost goes on being lost.
	var grown int64
	for range 2 {
		if grown, err = window(); err != nil {
			return err
		}
		each := grown * 3 / 2 / int64(n)
		if grown < 8<<20 || each < size/50 {
			return nil
		}
	}
	return &broken{paragraph: "1.11", expected: fmt.Sprintf("memory that stays the same over %d batches of %d kB", n, size>>10),
		seen: fmt.Sprintf("it grew by %d MB, %d kB a batch", grown>>20, grown*3/2/int64(n)>>10), advice: "something of each call is kept: see which list, cache or reference grows"}
}

// batches gives what the component does all the time in a run, and how many bytes it is given each time.
func batches(t *trial, h *home) (step func(i int) error, size int64, err error) {
	switch t.info.Kind {
	case protocol.Kind_AUGMENTATION:
		return augmentationBatches(t, h)
	case protocol.Kind_DATASET:
		return datasetBatches(t, h)
	case protocol.Kind_ENCODER:
		return encoderBatches(t, h)
	case protocol.Kind_OBJECTIVE:
		return objectiveBatches(t, h)
	case protocol.Kind_TASK:
		return taskBatches(t, h)
	case protocol.Kind_ENGINE:
		return engineBatches(t, h)
	}
	return nil, 0, notApplicable("there is no check of this kind yet")
}
