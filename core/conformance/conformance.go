// Package conformance checks whether a plugin keeps the contract, core/protocol/CONTRACT.md: `asterism plugin test`.
//
// It starts the plugin as runs do, in a process of its own, gives its components samples, labels and nonsense that it makes
// up, and looks at the answers, at the memory around them, and at the process:
//
//	summary, err := conformance.Run(ctx, conformance.Options{Spec: spec, Work: "acme", Report: func(r conformance.Result) { … }})
//
// What cannot be guessed stands in a file conformance.cue of the author's folder: see Cases.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Options of Run.
type Options struct {
	Spec     plugin.Spec     // the plugin as it is started; its manifest is what it says of itself where it is installed
	Work     string          // the folder in which it works, where paths in cases begin: its author's
	Cases    string          // the file of cases; "" or one that is not there: none
	Match    *regexp.Regexp  // which checks to run, by "acme.blur/key"; nil: all
	Batches  int             // how many batches the check of memory gives; 0: 1000
	Patience plugin.Patience // with calls; nothing: a minute, and two for those whose work does not follow from their size
	Holder   []string        // the command of a process that calls Hold, for the check that kills a host; nil: it is left out
	Log      io.Writer       // what the plugin writes; nil: nowhere
	Begin    func(Result)    // is told of each check before it runs; nil: nobody
	Report   func(Result)    // is told of each check when it is done
}

// Outcome of a check.
type Outcome string

// What a check can come to.
const (
	OK            Outcome = "ok"
	Failed        Outcome = "failed"
	NotApplicable Outcome = "not applicable"
)

// Result of one check.
type Result struct {
	Component string  `json:"component"`      // "acme.blur"; "acme" for a check of the plugin as a whole
	Case      int     `json:"case,omitempty"` // of conformance.cue, from 1, where there are several
	Check     string  `json:"check"`          // "key"
	Outcome   Outcome `json:"outcome"`
	Why       string  `json:"why,omitempty"` // not applicable
	Expected  string  `json:"expected,omitempty"`
	Seen      string  `json:"seen,omitempty"`
	Paragraph string  `json:"contract,omitempty"` // "3.4"
	Advice    string  `json:"advice,omitempty"`
	Log       string  `json:"log,omitempty"` // the plugin's last lines, where they may say why
	Seconds   float64 `json:"seconds"`
}

// Name is what Options.Match is matched with: "acme.blur/key".
func (r Result) Name() string { return r.Component + "/" + r.Check }

// Summary counts the outcomes.
type Summary struct {
	OK            int `json:"ok"`
	Failed        int `json:"failed"`
	NotApplicable int `json:"not_applicable"`
}

// check looks whether a rule is kept.
type check struct {
	name string
	says []string // the paragraphs that it can find broken
	run  func(*trial) error
	gate bool // whether there is nothing for those after it to look at when it fails
}

// broken is a rule that is not kept.
type broken struct {
	paragraph              string
	expected, seen, advice string
	log                    string // what the plugin wrote about it
}

func (b *broken) Error() string { return b.expected + "; " + b.seen }

// notApplicable says why a check makes no sense here.
type notApplicable string

func (n notApplicable) Error() string { return string(n) }

// kinds are the checks of each kind of component, after those of every component.
var kinds = map[protocol.Kind][]check{
	protocol.Kind_AUGMENTATION: augmentationChecks,
	protocol.Kind_DATASET:      datasetChecks,
	protocol.Kind_ENCODER:      encoderChecks,
	protocol.Kind_OBJECTIVE:    objectiveChecks,
	protocol.Kind_TASK:         taskChecks,
	protocol.Kind_ENGINE:       engineChecks,
}

// Run checks a plugin. An error means that it could not be checked at all, as by a file of cases that is wrong; what the
// plugin does wrong is in the results.
func Run(ctx context.Context, o Options) (Summary, error) {
	if o.Batches <= 0 {
		o.Batches = 1000
	}
	if o.Patience == (plugin.Patience{}) {
		o.Patience = patience
	}
	if o.Spec.Manifest == nil {
		return Summary{}, &fault.Error{Kind: fault.Internal, What: "a plugin is checked against its manifest, and there is none"}
	}
	cases, err := ReadCases(o.Cases, o.Spec.Manifest)
	if err != nil {
		return Summary{}, err
	}
	k := &kit{Options: o, ctx: ctx}
	found := contents(o.Spec.Dir)
	whole := &trial{kit: k, name: o.Spec.Name}
	alive := k.run(whole, pluginChecks)
	whole.close()
	for _, c := range o.Spec.Manifest.Components {
		if !alive {
			break // what does not start has no components
		}
		k.component(c, cases[c.Name])
	}
	if alive && o.Spec.Dir != "" {
		k.run(&trial{kit: k, name: o.Spec.Name, found: found}, folderChecks)
	}
	if ctx.Err() != nil {
		return k.summary, &fault.Error{Kind: fault.Cancelled, What: "interrupted", Err: ctx.Err()}
	}
	if k.summary == (Summary{}) {
		return k.summary, &fault.Error{Kind: fault.Config, What: fmt.Sprintf("no check matches %s", o.Match), Do: "it is matched with names such as " + whole.name + "/starts"}
	}
	return k.summary, nil
}

// component runs the checks of one component, in each of its cases.
func (k *kit) component(c *protocol.ComponentInfo, cases []Case) {
	first := &trial{kit: k, name: k.Spec.Name + "." + c.Name, info: c}
	if !slices.ContainsFunc(slices.Concat(schemaChecks, componentChecks, kinds[c.Kind], severalChecks, lastChecks), func(one check) bool { return k.wants(first.name, one) }) {
		return
	}
	defer first.close()
	k.run(first, schemaChecks)
	if len(cases) == 0 {
		cases = []Case{{}}
	}
	for i, one := range cases {
		t := &trial{kit: k, name: first.name, info: c, given: one}
		if len(cases) > 1 {
			t.number = i + 1
			t.others = slices.Concat(cases[:i], cases[i+1:])
		}
		checks := slices.Concat(kinds[c.Kind], lastChecks)
		if len(t.others) > 0 {
			checks = slices.Concat(kinds[c.Kind], severalChecks, lastChecks)
		}
		_ = k.run(t, componentChecks) && k.run(t, checks)
		t.close()
	}
}

// wants says whether a check was asked for.
func (k *kit) wants(name string, c check) bool {
	return k.Match == nil || k.Match.MatchString(Result{Component: name, Check: c.name}.Name())
}

// run runs checks one after another. It says whether there is anything to look at after them.
func (k *kit) run(t *trial, checks []check) bool {
	for _, c := range checks {
		r := Result{Component: t.name, Case: t.number, Check: c.name}
		wanted := k.wants(t.name, c)
		if !wanted && !c.gate {
			continue
		}
		if wanted && k.Begin != nil {
			k.Begin(r)
		}
		began := time.Now()
		err := t.attempt(c)
		r.Seconds = time.Since(began).Seconds()
		if k.ctx.Err() != nil {
			return false
		}
		if !wanted && err == nil {
			continue
		}
		k.judge(&r, c, err)
		if k.Report != nil {
			k.Report(r)
		}
		if c.gate && err != nil {
			return false // the others would say the same again
		}
	}
	return k.ctx.Err() == nil
}

// judge fills a result in and counts it.
func (k *kit) judge(r *Result, c check, err error) {
	var b *broken
	var n notApplicable
	switch {
	case err == nil:
		r.Outcome = OK
		k.summary.OK++
		return
	case errors.As(err, &n):
		r.Outcome, r.Why = NotApplicable, string(n)
		k.summary.NotApplicable++
		return
	case !errors.As(err, &b):
		b = &broken{paragraph: c.says[0], expected: "calls that work, so that this can be checked", seen: err.Error()}
		var f *fault.Error
		if errors.As(err, &f) {
			b.seen, b.advice = strings.TrimPrefix(f.Error(), r.Component+": "), f.Do
			b.log = f.Log
			if f.Kind == fault.Plugin && f.Log != "" { // who reads this is the plugin's author
				b.advice = "correct the component where the output below says"
			}
		}
	}
	r.Log = b.log
	r.Outcome, r.Paragraph, r.Expected, r.Seen, r.Advice = Failed, b.paragraph, b.expected, b.seen, b.advice
	k.summary.Failed++
}
