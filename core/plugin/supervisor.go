package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// restarts is how often a plugin is started anew in the life of a host.
const restarts = 3

// supervisor keeps one plugin running. Components hold on to it while processes come and go: when a process has ended, or
// was ended because it did not answer, the next one is given the same memory and the same instances under the same
// numbers, and the call that failed is issued again. It stands in for the connection, so that every call passes here.
type supervisor struct {
	host        *Host
	spec        Spec
	description *protocol.Description
	instances   atomic.Uint32 // numbers given so far
	patience    patience

	control      protocol.PluginClient
	dataset      protocol.DatasetClient
	augmentation protocol.AugmentationClient
	encoder      protocol.EncoderClient
	objective    protocol.ObjectiveClient
	task         protocol.TaskClient
	engine       protocol.EngineClient

	now   atomic.Pointer[process] // the one that runs, or ended last
	turn  sync.RWMutex            // held for reading by each attempt of a call, for writing while a process is started
	spent int                     // starts beyond the first
	life  context.Context         // until stop
	end   context.CancelFunc

	mu      sync.Mutex // of what the next process must be told
	journal []entry
	shared  map[uint32]sharedArena
	arenas  uint32 // numbers given so far
}

// entry is something that an instance was told and a new process must be told again.
type entry struct {
	instance uint32
	method   string
	request  proto.Message
	restore  func(ctx context.Context, conn grpc.ClientConnInterface) error // instead of a method
}

type sharedArena struct {
	*protocol.Arena
	readOnly bool
}

func newSupervisor(h *Host, p *process) *supervisor {
	s := &supervisor{host: h, spec: p.spec, description: p.description, shared: map[uint32]sharedArena{}, patience: newPatience(h.options.Patience)}
	s.now.Store(p)
	s.life, s.end = context.WithCancel(context.Background())
	s.control, s.dataset, s.augmentation = protocol.NewPluginClient(s), protocol.NewDatasetClient(s), protocol.NewAugmentationClient(s)
	s.encoder, s.objective, s.task = protocol.NewEncoderClient(s), protocol.NewObjectiveClient(s), protocol.NewTaskClient(s)
	s.engine = protocol.NewEngineClient(s)
	return s
}

// stop ends the plugin for good. It does not wait for calls: they fail when the process ends.
func (s *supervisor) stop() {
	s.end()
	s.now.Load().stop()
	s.turn.Lock()
	defer s.turn.Unlock()
	s.now.Load().stop() // of a restart that was under way
}

// Invoke implements gRPC's connection.
func (s *supervisor) Invoke(ctx context.Context, method string, request, answer any, o ...grpc.CallOption) error {
	return s.do(ctx, method, request, answer, nil, nil, o...)
}

// NewStream implements gRPC's connection: the contract has no streams.
func (s *supervisor) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "the plugin contract has no streams")
}

// do makes a call, on as many processes as it takes. Begin is called before each attempt, which its error calls off, and
// done after the one that succeeds, both while no process can be replaced: what they write, restore functions may read.
// They must not share memory nor take it back.
func (s *supervisor) do(ctx context.Context, method string, request, answer any, begin func(first bool) error, done func(), o ...grpc.CallOption) error {
	for first := true; ; first = false {
		p, hung, err := s.attempt(ctx, method, request, answer, func() error {
			if begin == nil {
				return nil
			}
			return begin(first)
		}, done, o...)
		if err == nil {
			return nil
		}
		switch {
		case hung != 0:
			p.hang(path.Base(method), hung)
		case ctx.Err() != nil || !p.lost(err):
			return err
		}
		p.last(path.Base(method))
		if s.restart(ctx, p) != nil {
			return err // the first reason says more than why it could not be helped
		}
	}
}

// attempt makes a call on the process that runs now. Hung is how long was waited for an answer that did not come.
func (s *supervisor) attempt(ctx context.Context, method string, request, answer any, begin func() error, done func(), o ...grpc.CallOption) (_ *process, hung time.Duration, _ error) {
	s.turn.RLock()
	defer s.turn.RUnlock()
	if err := begin(); err != nil {
		return s.now.Load(), 0, err
	}
	p := s.now.Load()
	if hung, err := s.ask(ctx, p, method, request, answer, o...); err != nil {
		return p, hung, err
	}
	s.remember(method, request)
	if done != nil {
		done()
	}
	return p, 0, nil
}

// ask makes a call on a process, and waits for the answer as long as is reasonable.
func (s *supervisor) ask(ctx context.Context, p *process, method string, request, answer any, o ...grpc.CallOption) (hung time.Duration, _ error) {
	limit := s.patience.limit(method, request)
	limited, cancel := context.WithCancel(ctx) // not a deadline: the plugin would be told, and might answer to it first
	defer cancel()
	go watch(limited, limit, cancel)
	began := time.Now()
	if err := p.conn.Invoke(limited, method, request, answer, o...); err != nil {
		if ctx.Err() == nil && limited.Err() != nil {
			return limit, err
		}
		return 0, err
	}
	s.patience.measured(method, request, time.Since(began))
	return 0, nil
}

// patiently is a connection to one process, which is ended when it does not answer.
type patiently struct {
	*supervisor
	p *process
}

// Invoke implements gRPC's connection.
func (c patiently) Invoke(ctx context.Context, method string, request, answer any, o ...grpc.CallOption) error {
	hung, err := c.ask(ctx, c.p, method, request, answer, o...)
	if hung != 0 {
		c.p.hang(path.Base(method), hung)
	}
	return err
}

// farewell makes a call that lets go of something. A process that has ended has let go of it already, and none is started
// for it.
func (s *supervisor) farewell(method string, request, answer any) error {
	s.turn.RLock()
	defer s.turn.RUnlock()
	p := s.now.Load()
	if p.child.ended(0) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := p.conn.Invoke(ctx, method, request, answer)
	if err != nil && p.lost(err) {
		return nil
	}
	return err
}

// remember keeps what the next process must be told: how each instance is configured, and the last of each question
// whose answer the component may keep.
func (s *supervisor) remember(method string, request any) {
	var instance uint32
	switch r := request.(type) {
	case *protocol.ConfigureRequest:
		instance = r.Instance
	case *protocol.AugmentationPlanRequest:
		instance = r.Instance
	case *protocol.OpenRequest:
		instance = r.Instance
	case *protocol.ProgramRequest:
		instance = r.Instance
	case *protocol.TaskNeedsRequest:
		instance = r.Instance
	default:
		return
	}
	e := entry{instance: instance, method: method, request: proto.Clone(request.(proto.Message))}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.journal, func(o entry) bool { return o.instance == instance && o.method == method }); i >= 0 {
		s.journal[i] = e
		return
	}
	s.journal = append(s.journal, e)
}

// drop forgets an instance: what it was told, and how fast it was.
func (s *supervisor) drop(instance uint32) {
	s.patience.forget(instance)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal = slices.DeleteFunc(s.journal, func(e entry) bool { return e.instance == instance })
}

// onRestart has restore called when a new process knows what the instance was configured with. It may use memory that
// was shared before.
func (s *supervisor) onRestart(instance uint32, restore func(ctx context.Context, conn grpc.ClientConnInterface) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal = append(s.journal, entry{instance: instance, restore: restore})
}

// share gives an arena to the plugin, and its number there.
func (s *supervisor) share(ctx context.Context, a *protocol.Arena, readOnly bool) (uint32, error) {
	p, id, err := s.shareNow(a, readOnly)
	if err == nil {
		return id, nil
	}
	if p.child.ended(200*time.Millisecond) && s.restart(ctx, p) == nil {
		return id, nil // the new process was given all arenas
	}
	s.forget(id)
	return 0, err
}

func (s *supervisor) shareNow(a *protocol.Arena, readOnly bool) (*process, uint32, error) {
	s.turn.RLock()
	defer s.turn.RUnlock()
	s.mu.Lock()
	s.arenas++
	id := s.arenas
	s.shared[id] = sharedArena{a, readOnly}
	s.mu.Unlock()
	p := s.now.Load()
	return p, id, p.share(id, a, readOnly)
}

func (s *supervisor) forget(arena uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.shared, arena)
}

// unshare takes an arena back.
func (s *supervisor) unshare(arena uint32) {
	s.turn.RLock()
	defer s.turn.RUnlock()
	s.forget(arena)
	if p := s.now.Load(); !p.child.ended(0) {
		p.channel.Release(arena)
	}
}

// restart puts a new process in the place of p, unless another call has done so.
func (s *supervisor) restart(ctx context.Context, p *process) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.now.Load() != p {
		return nil
	}
	if err := s.life.Err(); err != nil { // it ended because it was to
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	for why := p.why(); ; why = "it ended again" {
		if s.spent >= restarts {
			return errors.New("it was started anew too often")
		}
		s.spent++
		if s.host.options.Restarted != nil {
			s.host.options.Restarted(s.spec.Name, fmt.Sprintf("%s; it is started anew (%d of %d)", why, s.spent, restarts))
		}
		select { // what ended it may pass: a full memory, a licence
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(s.host.options.backoff() << (s.spent - 1)):
		}
		spec, err := s.host.spec(s.spec.Name)
		if err != nil { // it may have been replaced since
			p.output.add("it is not started anew: " + err.Error())
			return err
		}
		p.stop()
		next, err := s.host.start(ctx, spec)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			continue
		}
		if err = s.tell(ctx, next); err == nil {
			err = ctx.Err() // a process that came up as all were stopped
		}
		if err != nil {
			lost := next.lost(err)
			next.stop()
			if ctx.Err() != nil || !lost {
				return err
			}
			continue
		}
		s.now.Store(next)
		return nil
	}
}

// exhausted says whether no more processes are started.
func (s *supervisor) exhausted() bool {
	s.turn.RLock()
	defer s.turn.RUnlock()
	return s.spent >= restarts
}

// tell brings a new process to where the last one was.
func (s *supervisor) tell(ctx context.Context, p *process) error {
	if !proto.Equal(p.description, s.description) {
		return errors.New("it has become another plugin")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, a := range s.shared {
		if err := p.share(id, a.Arena, a.readOnly); err != nil {
			return err
		}
	}
	conn := patiently{s, p}
	for _, e := range s.journal {
		var err error
		if e.restore != nil {
			err = e.restore(ctx, conn)
		} else {
			err = conn.Invoke(ctx, e.method, e.request, answerTo(e.request))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// answerTo is room for the answer to a request of the journal.
func answerTo(request proto.Message) proto.Message {
	switch request.(type) {
	case *protocol.ConfigureRequest:
		return &protocol.Configured{}
	case *protocol.AugmentationPlanRequest:
		return &protocol.AugmentationPlan{}
	case *protocol.OpenRequest:
		return &protocol.Catalogue{}
	case *protocol.ProgramRequest:
		return &protocol.Program{}
	}
	return &protocol.TaskNeeds{}
}

// lost says whether a call failed because the process is gone. A broken connection is noticed before the end of the
// process is.
func (p *process) lost(err error) bool {
	var of *fault.Error
	if errors.As(err, &of) {
		return false
	}
	return p.child.ended(0) || status.Code(err) == codes.Unavailable && p.child.ended(2*time.Second)
}

// share gives an arena to a process, which is ended when it does not answer.
func (p *process) share(id uint32, a *protocol.Arena, readOnly bool) error {
	err := p.channel.Share(id, a, readOnly)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.hang("a transfer of memory", p.channel.Patience)
	}
	return err
}

// hang ends a process that gave no answer.
func (p *process) hang(call string, waited time.Duration) {
	why := fmt.Sprintf("gave no answer to %s within %s", call, waited.Round(time.Millisecond))
	p.hung.CompareAndSwap(nil, &why)
	p.child.Kill(context.Background())
	p.child.ended(2 * time.Second)
}

// why says how a process came to its end.
func (p *process) why() string {
	if hung := p.hung.Load(); hung != nil {
		return *hung
	}
	return fmt.Sprintf("its process ended (%s)", p.child.how())
}
