package sdk

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// server answers the host's calls with the author's components.
type server struct {
	protocol.UnimplementedPluginServer
	plugin Plugin
	arenas *protocol.Arenas
	settle func() // called at the start of each call

	mu        sync.Mutex
	instances map[uint32]*instance
}

// instance is a configured component.
type instance struct {
	name  string // "sky.rotate"
	value any
	turn  sync.Mutex                                // held by calls into components that take one at a time
	plan  atomic.Pointer[protocol.AugmentationPlan] // of an augmentation, once planned
}

func newServer(p Plugin, a *protocol.Arenas) *server {
	return &server{plugin: p, arenas: a, settle: func() {}, instances: map[uint32]*instance{}}
}

func (s *server) register(g grpc.ServiceRegistrar) {
	protocol.RegisterPluginServer(g, s)
	protocol.RegisterDatasetServer(g, datasetServer{server: s})
	protocol.RegisterAugmentationServer(g, augmentationServer{server: s})
	protocol.RegisterEncoderServer(g, encoderServer{server: s})
	protocol.RegisterObjectiveServer(g, objectiveServer{server: s})
	protocol.RegisterTaskServer(g, taskServer{server: s})
}

// guard turns authors' errors and panics into answers.
func (s *server) guard(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	s.settle()
	err = protect("a call", func() (err error) {
		answer, err = handler(ctx, request)
		return err
	})
	if err != nil {
		return nil, statusOf(err)
	}
	return answer, nil
}

// longestError is what an error's text, its advice, and its trace may have in bytes: they travel in a header.
const longestError = 4 << 10

// statusOf wraps an error for the wire.
func statusOf(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	fault := faultOf(err)
	for _, s := range []*string{&fault.What, &fault.Advice, &fault.Trace} {
		if len(*s) > longestError { // a list of all columns, say
			*s = strings.ToValidUTF8((*s)[:longestError], "") + "…"
		}
		*s = strings.ToValidUTF8(*s, "�")
	}
	st := status.New(codes.Unknown, "the component failed")
	if with, err := st.WithDetails(fault); err == nil {
		st = with
	}
	return st.Err()
}

// panicError is a panic in an author's code.
type panicError struct {
	value any
	trace string
}

// Error gives what the panic said.
func (e panicError) Error() string {
	what := fmt.Sprint(e.value)
	if fault, ok := e.value.(interface{ Addr() uintptr }); ok {
		what = fmt.Sprintf("memory fault at %#x (the tensors that a component is given may only be read)", fault.Addr())
	}
	return "panic: " + what
}

// protect calls f and turns a panic into an error that has the stack.
func protect(name string, f func() error) (err error) {
	debug.SetPanicOnFault(true) // writing into an input is a fault, not the end of the process
	defer func() {
		if r := recover(); r != nil {
			err = recovered(name, r)
		}
	}()
	return f()
}

// recovered makes an error of a panic: Parallel's is one already.
func recovered(name string, r any) error {
	if again, ok := r.(panicError); ok {
		return again
	}
	return panicError{value: r, trace: fmt.Sprintf("panic in %s: %v\n%s", name, r, authors(string(debug.Stack())))}
}

// authors is the part of a stack that is of use to an author: from where it panicked up to where the SDK called.
func authors(stack string) string {
	lines := strings.SplitAfter(stack, "\n")
	begins := func(prefix string) func(string) bool {
		return func(line string) bool { return strings.HasPrefix(line, prefix) }
	}
	from := slices.IndexFunc(lines, begins("panic("))
	if from < 0 || from+2 > len(lines) {
		return stack
	}
	lines = lines[from+2:] // a function takes a line, and its place the next
	if to := slices.IndexFunc(lines, begins("github.com/asterism-ssl/asterism/plugins/sdk.protect(")); to > 0 {
		lines = lines[:to]
	}
	return strings.Join(lines, "")
}

// Describe lists the components.
func (s *server) Describe(context.Context, *protocol.DescribeRequest) (*protocol.Description, error) {
	return s.plugin.Manifest(), nil
}

// Configure makes an instance.
func (s *server) Configure(_ context.Context, r *protocol.ConfigureRequest) (*protocol.Configured, error) {
	for _, c := range s.plugin.Components {
		if c.Name != r.Component {
			continue
		}
		i := &instance{name: s.plugin.Name + "." + c.Name}
		err := protect(i.name, func() (err error) {
			i.value, err = c.Build(r.Config)
			return err
		})
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.instances[r.Instance] = i
		return &protocol.Configured{}, nil
	}
	return nil, ConfigError{What: fmt.Sprintf("the plugin %s has no component %q", s.plugin.Name, r.Component)}
}

// Release forgets an instance; one that has a Close method is closed.
func (s *server) Release(_ context.Context, r *protocol.ReleaseRequest) (*protocol.Released, error) {
	s.mu.Lock()
	i := s.instances[r.Instance]
	delete(s.instances, r.Instance)
	s.mu.Unlock()
	if i != nil {
		if c, ok := i.value.(interface{ Close() error }); ok {
			if err := protect(i.name, c.Close); err != nil {
				return nil, err
			}
		}
	}
	return &protocol.Released{}, nil
}

// find gives an instance as the interface that a kind wants.
func find[T any](s *server, id uint32) (*instance, T, error) {
	var none T
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.instances[id]
	if i == nil {
		return nil, none, fmt.Errorf("there is no instance %d", id)
	}
	v, ok := i.value.(T)
	if !ok {
		return nil, none, fmt.Errorf("%s is of another kind", i.name)
	}
	return i, v, nil
}

// asked gives an author's answer to method, which must be there when there is no error.
func asked[A any](i *instance, method, what string, f func() (*A, error)) (*A, error) {
	var answer *A
	err := protect(i.name, func() (err error) {
		answer, err = f()
		return err
	})
	if err == nil && answer == nil {
		err = fmt.Errorf("%s gave neither an error nor %s", method, what)
	}
	return answer, err
}

// call holds the arenas that one call uses.
type call struct {
	server *server
	used   []usedArena
}

type usedArena struct {
	id       uint32
	mem      []byte
	writable bool
	done     func()
}

func (c *call) end() {
	for _, u := range c.used {
		u.done()
	}
}

func (c *call) arena(id uint32) (usedArena, error) {
	for _, u := range c.used {
		if u.id == id {
			return u, nil
		}
	}
	mem, writable, done, err := c.server.arenas.Use(id)
	if err != nil {
		return usedArena{}, err
	}
	u := usedArena{id, mem, writable, done}
	c.used = append(c.used, u)
	return u, nil
}

// view gives the memory of a tensor; with write, it must be in an arena that the plugin may write.
func view[T protocol.Number](c *call, t *protocol.Tensor, write bool) ([]T, error) {
	if t == nil {
		return nil, fmt.Errorf("a tensor is missing")
	}
	u, err := c.arena(t.Arena)
	if err != nil {
		return nil, err
	}
	if write && !u.writable {
		return nil, fmt.Errorf("the arena %d cannot be written", t.Arena)
	}
	return protocol.View[T](u.mem, t)
}

// room is a slot as it is filled with tensors.
type room struct {
	slot *protocol.Slot
	mem  []byte // of the arena, up to the end of the slot
	at   uint64 // where the next tensor goes
}

func (c *call) room(slot *protocol.Slot) (*room, error) {
	if slot == nil {
		return nil, fmt.Errorf("the slot is missing")
	}
	u, err := c.arena(slot.Arena)
	if err != nil {
		return nil, err
	}
	size := uint64(len(u.mem))
	if !u.writable || slot.Offset%protocol.Align != 0 || slot.Offset > size || slot.Size > size-slot.Offset {
		return nil, fmt.Errorf("the slot is not inside a writable arena")
	}
	return &room{slot, u.mem[:slot.Offset+slot.Size], slot.Offset}, nil
}

// put copies values into the slot; false when they do not fit.
func put[T protocol.Number](r *room, values []T, shape []int64) (*protocol.Tensor, bool, error) {
	t := &protocol.Tensor{Arena: r.slot.Arena, Offset: protocol.AlignUp(r.at), Dtype: protocol.TypeOf[T](), Shape: shape}
	n, ok := protocol.Count(shape)
	if !ok || n != uint64(len(values)) {
		return nil, false, fmt.Errorf("%d values for the shape %v", len(values), shape)
	}
	if t.Inside(r.slot.Offset, uint64(len(r.mem))) != nil {
		return nil, false, nil
	}
	into, err := protocol.View[T](r.mem, t)
	if err != nil {
		return nil, false, err
	}
	copy(into, values)
	size, _ := t.Bytes()
	r.at = t.Offset + size
	return t, true, nil
}

// tensors copies an author's answer into the slot. promised names what said how large the answer may be.
func (r *room) tensors(answer []Tensor, promised string) ([]*protocol.NamedTensor, error) {
	var named []*protocol.NamedTensor
	for _, a := range answer {
		shape := make([]int64, len(a.Shape))
		for i, n := range a.Shape {
			shape[i] = int64(n)
		}
		var t *protocol.Tensor
		var ok bool
		var err error
		switch {
		case a.F32 != nil:
			t, ok, err = put(r, a.F32, shape)
		case a.F64 != nil:
			t, ok, err = put(r, a.F64, shape)
		case a.I64 != nil:
			t, ok, err = put(r, a.I64, shape)
		default: // empty
			t, ok, err = put(r, []float32{}, shape)
		}
		if err != nil {
			return nil, fmt.Errorf("the tensor %q: %w", a.Name, err)
		}
		if !ok {
			return nil, fmt.Errorf("the tensor %q does not fit: the answer is larger than %s said", a.Name, promised)
		}
		named = append(named, &protocol.NamedTensor{Name: a.Name, Tensor: t, Categories: a.Categories, Fitted: a.Fitted})
	}
	return named, nil
}

// given gives a tensor of the host as authors see it.
func (c *call) given(n *protocol.NamedTensor, write bool) (Tensor, error) {
	a := Tensor{Name: n.GetName(), Categories: n.GetCategories(), Fitted: n.GetFitted()}
	for _, d := range n.GetTensor().GetShape() {
		a.Shape = append(a.Shape, int(d))
	}
	var err error
	switch d := n.GetTensor().GetDtype(); d {
	case protocol.DType_F32:
		a.F32, err = view[float32](c, n.Tensor, write)
	case protocol.DType_F64:
		a.F64, err = view[float64](c, n.Tensor, write)
	case protocol.DType_I64:
		a.I64, err = view[int64](c, n.Tensor, write)
	default:
		err = fmt.Errorf("type %v", d)
	}
	if err != nil {
		err = fmt.Errorf("the tensor %q: %w", a.Name, err)
	}
	return a, err
}

func (c *call) all(ns []*protocol.NamedTensor) ([]Tensor, error) {
	var list []Tensor
	for _, n := range ns {
		t, err := c.given(n, false)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

func (c *call) byName(ns []*protocol.NamedTensor, write bool) (map[string]Tensor, error) {
	m := make(map[string]Tensor, len(ns))
	for _, n := range ns {
		t, err := c.given(n, write)
		if err != nil {
			return nil, err
		}
		m[t.Name] = t
	}
	return m, nil
}

// spread calls f(worker, i) for i in 0…n−1 on so many workers, i ascending, each in the order in which workers come
// free. The error is that of the smallest i that has one; work after it is left out.
func spread(ctx context.Context, name string, count, n int, f func(worker, i int) error) error {
	var next, failed atomic.Int64
	failed.Store(int64(n))
	var mu sync.Mutex
	var first error
	work := func(worker int) {
		i := 0
		err := protect(name, func() error {
			for {
				if i = int(next.Add(1)) - 1; int64(i) >= failed.Load() {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := f(worker, i); err != nil {
					return err
				}
			}
		})
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			if int64(i) < failed.Load() {
				failed.Store(int64(i))
				first = err
			}
		}
	}
	var group sync.WaitGroup
	for worker := 1; worker < count; worker++ {
		group.Go(func() { work(worker) })
	}
	work(0)
	group.Wait()
	return first
}

// workers is the number of workers for n things: one a processor. It may change while the process runs.
func workers(n int) int { return max(1, min(runtime.GOMAXPROCS(0), n)) }

func validShape(shape []int64) bool {
	n, ok := protocol.Count(shape)
	return ok && n > 0 && len(shape) > 0 && !slices.Contains(shape, 0)
}
