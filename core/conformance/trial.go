package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// checkTime is how long one check may take, and patience how long the host waits in it for an answer where Options say
// nothing.
const checkTime = 5 * time.Minute

var patience = plugin.Patience{First: time.Minute, Least: time.Minute, Bulk: 2 * time.Minute}

// kit is one run of the checks.
type kit struct {
	Options
	ctx     context.Context
	summary Summary
}

// trial is a component, or the plugin as a whole, under the checks: a host of its own, and what happens to it.
type trial struct {
	*kit
	name   string
	info   *protocol.ComponentInfo // nil: the plugin as a whole
	given  Case
	number int
	others []Case
	config []byte            // the case's, completed by the schema
	found  map[string]string // in the plugin's folder, before it was started

	most int // how many samples an augmentation that is slow is given at once; 0: as many as others

	ctx  context.Context // of the check that runs
	main *home           // the host that checks share
	more []*home         // those of the check that runs
}

// home is a host with the plugin in it.
type home struct {
	*plugin.Host
	name string
	log  *kept

	mu    sync.Mutex
	ended string // why its process was started anew
}

// attempt runs one check and looks whether the plugin's process lived through it.
func (t *trial) attempt(c check) (err error) {
	ctx, cancel := context.WithTimeout(t.kit.ctx, checkTime)
	defer cancel()
	t.ctx = ctx
	defer func() {
		if r := recover(); r != nil {
			panic(fmt.Sprintf("the check %s of %s: %v", c.name, t.name, r))
		}
		for _, h := range append(slices.Clone(t.more), t.main) {
			if h == nil {
				continue
			}
			if why := h.why(); why != "" && t.kit.ctx.Err() == nil {
				why, _, _ = strings.Cut(why, "; it is started anew")
				b := &broken{paragraph: "1.9", expected: "a process that lives until the host closes it", seen: why, log: h.log.tail(),
					advice: "an error of a component is an answer, not the end of the process"}
				if strings.HasPrefix(why, "gave no answer") {
					b.paragraph, b.expected, b.advice = "1.10", "an answer", "see what it waits for"
				}
				err = b
			}
		}
		for _, h := range t.more {
			h.Close()
		}
		t.more = nil
		if n := notApplicable(""); t.main != nil && err != nil && !errors.As(err, &n) { // the next check begins with a process that knows nothing
			t.main.Close()
			t.main = nil
		}
	}()
	if err = c.run(t); err != nil && ctx.Err() != nil && t.kit.ctx.Err() == nil {
		err = &broken{paragraph: "1.10", expected: fmt.Sprintf("answers, so that the check ends within %v", checkTime), seen: "it does not"}
	}
	return err
}

// spec is how the plugin is started, with variables over its own.
func (t *trial) spec(env ...string) plugin.Spec {
	s := t.Spec
	s.Env = append(slices.Clone(s.Env), env...)
	return s
}

// fresh makes a host for this check alone, whose plugin has these variables.
func (t *trial) fresh(env ...string) *home {
	h := t.newHome(t.spec(env...))
	t.more = append(t.more, h)
	return h
}

// shared is the host that the checks of the trial share.
func (t *trial) shared() *home {
	if t.main == nil {
		t.main = t.newHome(t.spec())
	}
	return t.main
}

func (t *trial) newHome(spec plugin.Spec) *home {
	h := &home{name: t.Spec.Name, log: &kept{to: t.Log}}
	h.Host = plugin.NewHost(func(string) (plugin.Spec, error) { return spec, nil }, plugin.Options{
		Log: h.log, Patience: t.Patience, Backoff: time.Millisecond, Work: t.Work,
		Restarted: func(_, why string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.ended == "" {
				h.ended = why
			}
		}})
	return h
}

func (h *home) why() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}

// pid is the number of the plugin's process.
func (h *home) pid() int { return h.Processes()[h.name] }

func (t *trial) close() {
	if t.main != nil {
		t.main.Close()
		t.main = nil
	}
}

// ref names the component with its configuration, for the host.
func (t *trial) ref() plugin.Ref { return plugin.Ref{Name: t.name, Config: t.config} }

// instance makes an instance of the component in a host.
func (t *trial) instance(h *home) (plugin.Direct, uint32, error) {
	d, err := h.Direct(t.ctx, t.Spec.Name)
	if err != nil {
		return d, 0, err
	}
	id, err := d.Configure(t.ctx, t.info.Name, t.config)
	return d, id, said(err)
}

// kept is what a plugin writes: the end of it is kept, all of it passed on.
type kept struct {
	mu   sync.Mutex
	to   interface{ Write([]byte) (int, error) }
	text []byte
}

func (k *kept) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.to != nil {
		k.to.Write(p)
	}
	k.text = append(k.text, p...)
	if n := len(k.text) - 4<<20; n > 0 {
		k.text = k.text[n:]
	}
	return len(p), nil
}

// tail gives the last lines, without the plugin's name before each.
func (k *kept) tail() string {
	lines := strings.SplitAfter(strings.TrimRight(k.String(), "\n"), "\n")
	lines = lines[max(0, len(lines)-20):]
	for i, line := range lines {
		if _, rest, ok := strings.Cut(line, ": "); ok {
			lines[i] = rest
		}
	}
	return strings.Join(lines, "")
}

func (k *kept) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return string(k.text)
}

// said turns what a raw call came back with into the component's own words.
func said(err error) error {
	f := faultOf(err)
	if f == nil {
		return err
	}
	kind := fault.Plugin
	if f.Cause == protocol.Fault_CONFIG {
		kind = fault.Config
	}
	what := f.What
	if f.Field != "" {
		what = f.Field + ": " + what
	}
	return &fault.Error{Kind: kind, What: what, Do: f.Advice, Log: f.Trace}
}

// asBroken says whether an error is a rule that is not kept.
func asBroken(err error, b **broken) bool { return errors.As(err, b) }
