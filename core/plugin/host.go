package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Spec says how to start a plugin and what it must turn out to be.
type Spec struct {
	Name     string
	Version  string
	Command  []string              // the executable and its arguments
	Env      []string              // NAME=value, over the short list of the host's variables that every plugin gets
	Dir      string                // the plugin's own folder, which it finds in ASTERISM_PLUGIN_DIR; it works in the host's, where paths of experiments begin
	Source   string                // its author's folder, where Dir was built of one for the moment: what it writes of its files is told of those there
	Manifest *protocol.Description // what the installed plugin says of itself; its own answer must equal it
}

// Options of a host.
type Options struct {
	Log          io.Writer                // lines that plugins write, each after the plugin's name; nil: none
	StartTimeout time.Duration            // for a plugin to start; 0: 10 s
	Patience     Patience                 // with calls
	Backoff      time.Duration            // before a plugin that ended is started anew, doubled each time; 0: half a second
	Restarted    func(plugin, why string) // is told when one is; nil: nobody
	Work         string                   // the folder in which plugins work; "": the host's
}

func (o *Options) backoff() time.Duration {
	if o.Backoff <= 0 {
		return 500 * time.Millisecond
	}
	return o.Backoff
}

// Host starts plugins when they are first needed, one process each, and ends them all on Close. It is safe for
// concurrent use.
type Host struct {
	resolve func(plugin string) (Spec, error)
	options Options
	log     sink
	life    context.Context // until Close
	end     context.CancelFunc

	mu        sync.Mutex
	sockets   *sockets
	processes map[string]*starting
	links     map[string]*augmentation // configured and planned augmentations, by content
}

// starting is a plugin that is up, or on its way up.
type starting struct {
	done chan struct{}
	p    *supervisor
	err  error
}

// KeepLogs has what each plugin wrote and will write kept in dir, one NAME.log for a plugin that writes anything. Before
// it is called only the last lines are kept, in memory.
func (h *Host) KeepLogs(dir string) {
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	h.log.dir = dir
}

// NewHost makes a host that asks resolve how to start a plugin by its name.
func NewHost(resolve func(plugin string) (Spec, error), o Options) *Host {
	h := &Host{resolve: resolve, options: o, log: sink{w: o.Log}, processes: map[string]*starting{}, links: map[string]*augmentation{}}
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

// Close ends every plugin with all its children and removes the sockets. Calls in flight fail.
func (h *Host) Close() error {
	h.mu.Lock()
	h.end() // those on their way up are not waited for
	processes := h.processes
	h.processes = map[string]*starting{}
	h.mu.Unlock()
	var group sync.WaitGroup
	for _, s := range processes {
		group.Go(func() {
			<-s.done
			if s.p != nil {
				s.p.stop()
			}
		})
	}
	group.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sockets == nil {
		return nil
	}
	err := h.sockets.remove()
	h.sockets = nil
	return err
}

// Processes gives the numbers of the processes of the plugins that are up, by the plugins' names.
func (h *Host) Processes() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	up := map[string]int{}
	for name, s := range h.processes {
		select {
		case <-s.done:
			if s.p != nil {
				if c := s.p.now.Load().child; !c.ended(0) {
					up[name] = int(c.pid.Load())
				}
			}
		default:
		}
	}
	return up
}

// errClosed is what calls after Close get.
var errClosed = &fault.Error{Kind: fault.Internal, What: "the plugin host is closed"}

func (h *Host) socketDir() (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life.Err() != nil {
		return "", errClosed
	}
	if h.sockets == nil {
		s, err := newSockets()
		if err != nil {
			return "", err
		}
		h.sockets = s
	}
	return h.sockets.dir, nil
}

// Start has plugins come up side by side, while other things are done. What goes wrong is told to the first call that needs
// the plugin.
func (h *Host) Start(ctx context.Context, plugins ...string) {
	for _, name := range plugins {
		if s, mine, err := h.claim(name); err == nil && mine {
			go h.bring(ctx, name, s)
		}
	}
}

// claim gives a plugin that is up or on its way, or leaves it to the caller to bring it.
func (h *Host) claim(name string) (s *starting, mine bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life.Err() != nil {
		return nil, false, errClosed
	}
	s = h.processes[name]
	if mine = s == nil; mine {
		s = &starting{done: make(chan struct{})}
		h.processes[name] = s
	}
	return s, mine, nil
}

func (h *Host) bring(ctx context.Context, name string, s *starting) {
	defer close(s.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()
	s.p, s.err = h.launch(ctx, name)
}

// forget lets the next call try again.
func (h *Host) forget(name string, s *starting) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.processes[name] == s {
		delete(h.processes, name)
	}
}

// process gives the running plugin of a component, and starts it if it is not up yet.
func (h *Host) process(ctx context.Context, r Ref) (*supervisor, error) {
	name, _, _ := strings.Cut(r.Name, ".")
	for {
		s, mine, err := h.claim(name)
		if err != nil {
			return nil, err
		}
		if mine {
			h.bring(ctx, name, s)
		} else {
			select {
			case <-s.done:
			case <-ctx.Done():
				return nil, located(r, &fault.Error{Kind: fault.Cancelled, What: "interrupted while the plugin was starting", Err: ctx.Err()})
			}
		}
		if s.err != nil {
			h.forget(name, s)
			if !mine && fault.KindOf(s.err) == fault.Cancelled && ctx.Err() == nil {
				continue // another caller was interrupted, not we
			}
		}
		return s.p, located(r, s.err)
	}
}

// spec says how to start a plugin, as things are now.
func (h *Host) spec(name string) (Spec, error) {
	spec, err := h.resolve(name)
	if spec.Name == "" {
		spec.Name = name
	}
	return spec, err
}

func (h *Host) launch(ctx context.Context, name string) (*supervisor, error) {
	spec, err := h.spec(name)
	if err != nil {
		return nil, err
	}
	p, err := h.start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return newSupervisor(h, p), nil
}

// located adds the component and its place to a fault that does not know them.
func located(r Ref, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	c := *f
	if c.Path == "" {
		c.Path = r.Path
	}
	if c.Where == "" {
		c.Where = r.Where
	}
	if !strings.Contains(c.Plugin, ".") {
		c.Plugin = r.Name
	}
	return &c
}

// configured is an instance of a component in a running plugin.
type configured struct {
	*supervisor
	ref      Ref
	instance uint32
}

// configure starts the component's plugin if need be and makes an instance.
func (h *Host) configure(ctx context.Context, r Ref, kind protocol.Kind) (*configured, error) {
	p, err := h.process(ctx, r)
	if err != nil {
		return nil, err
	}
	_, local, _ := strings.Cut(r.Name, ".")
	info := p.component(local)
	if info == nil {
		return nil, &fault.Error{Kind: fault.Config, Plugin: r.Name, Path: r.Path, Where: r.Where,
			What: fmt.Sprintf("the plugin %s has no component %q", p.spec.Name, local),
			Do:   "it has " + strings.Join(p.components(), ", ")}
	}
	if info.Kind != kind {
		return nil, &fault.Error{Kind: fault.Config, Plugin: r.Name, Path: r.Path, Where: r.Where,
			What: fmt.Sprintf("is %s, where %s is wanted", kindName(info.Kind), kindName(kind))}
	}
	c := &configured{supervisor: p, ref: r}
	config := r.Config
	if len(config) == 0 {
		config = []byte("{}")
	}
	c.instance = p.instances.Add(1)
	if _, err := call(ctx, c, "Configure", p.control.Configure, &protocol.ConfigureRequest{Component: local, Config: config, Instance: c.instance}); err != nil {
		return nil, err
	}
	return c, nil
}

// release forgets the instance, here and there.
func (c *configured) release() error {
	c.drop(c.instance)
	if err := c.farewell(protocol.Plugin_Release_FullMethodName, &protocol.ReleaseRequest{Instance: c.instance}, &protocol.Released{}); err != nil {
		return c.fault(context.Background(), c.ref, "Release", err)
	}
	return nil
}

func kindName(k protocol.Kind) string {
	switch k {
	case protocol.Kind_DATASET:
		return "a dataset"
	case protocol.Kind_AUGMENTATION:
		return "an augmentation"
	case protocol.Kind_ENCODER:
		return "an encoder"
	case protocol.Kind_OBJECTIVE:
		return "an objective"
	case protocol.Kind_TASK:
		return "a task"
	case protocol.Kind_ENGINE:
		return "an engine"
	}
	return "of an unknown kind"
}

// Encoder gives the model that an encoder describes for samples of the shape input (spatial…, bands).
func (h *Host) Encoder(ctx context.Context, r Ref, input []int64) (*protocol.Model, error) {
	c, err := h.configure(ctx, r, protocol.Kind_ENCODER)
	if err != nil {
		return nil, err
	}
	m, err := call(ctx, c, "Build", c.encoder.Build, &protocol.BuildRequest{Instance: c.instance, Input: input})
	if ctx.Err() == nil {
		err = cmp.Or(err, c.release())
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}
