package plugin

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/grpc"
)

// network is a program that a plugin has compiled. Its inputs and taps lie in memory that both share; its arrays go over in
// parts, through memory that every part uses.
//
// A network that has moved, as training moves it, is lost with the process: calls fail with engine.ErrLost until SetState.
// Any other is written anew from what it was given, and the call that failed is issued again.
type network struct {
	*Engine
	id      uint32
	checked *engine.Checked
	layout  *layout
	cost    engine.Cost
	train   bool
	batch   int
	closed  bool

	in, out, transfer       *memory
	inputs, taps, gradients map[string][]float32
	request                 *protocol.CompileRequest
	ran                     map[string]progress // of the passes of this step
	given                   map[string][]float32
	moved                   bool
	lost                    atomic.Bool
	births                  atomic.Int32 // processes that it was compiled on after the first
	broken                  string       // what the last Step found not to be finite
	opened                  bool
	arenaTransfer           uint32
}

// progress is how far a pass has come in a step.
type progress int

const (
	notRun progress = iota
	ranForward
	ranBackward
)

// layout says where everything of a network lies in the memory that is shared.
type layout struct {
	in, out   protocol.Layout // inputs and gradients at taps; taps
	inputs    []*protocol.NamedTensor
	gradients []*protocol.NamedTensor
	outputs   []*protocol.NamedTensor
	shapes    map[string][]int64 // of taps, without the batch
	arrays    []stateArray       // sorted by name
	learns    bool               // there are gradients and velocities
	transfer  uint64
	err       error
}

// stateArray is one of the arrays of State.
type stateArray struct {
	name   string
	shape  []int64
	size   int
	online bool
}

// partBytes is how much memory arrays go over through, where none of them is larger.
const partBytes = 64 << 20

func layoutOf(c *engine.Checked, o engine.Options) *layout {
	l := &layout{shapes: map[string][]int64{}}
	place := func(in *protocol.Layout, list *[]*protocol.NamedTensor, name string, shape []int64) {
		t, err := in.Place(protocol.DType_F32, append([]int64{int64(o.Batch)}, shape...)...)
		if err != nil {
			l.err = err
			return
		}
		*list = append(*list, &protocol.NamedTensor{Name: name, Tensor: t})
	}
	for _, p := range c.Passes {
		l.learns = l.learns || o.Mode == engine.Train && p.Gradient
		place(&l.in, &l.inputs, p.Name, c.Graph.Input)
	}
	for _, t := range c.Taps {
		l.shapes[t.Name] = c.TapShape(t)
		place(&l.out, &l.outputs, t.Name, l.shapes[t.Name])
		if o.Mode == engine.Train && c.Pass(t.Pass).Gradient {
			place(&l.in, &l.gradients, t.Name, l.shapes[t.Name])
		}
	}
	var total, largest uint64
	add := func(name string, p *protocol.Parameter, online bool) {
		size := int(model.Size(p.Shape))
		l.arrays = append(l.arrays, stateArray{name, p.Shape, size, online})
		bytes := protocol.AlignUp(4 * uint64(size))
		total, largest = total+bytes, max(largest, bytes)
	}
	for _, name := range c.Names {
		p := c.Params[name]
		add(name, p, true)
		if c.Momentum {
			add(engine.MomentumPrefix+name, p, false)
		}
		if l.learns && !p.Buffer {
			add(engine.OptimiserPrefix+name, p, false)
		}
	}
	slices.SortFunc(l.arrays, func(a, b stateArray) int { return strings.Compare(a.name, b.name) })
	l.transfer = min(total, max(partBytes, largest))
	return l
}

// unwritten marks values of taps and arrays that the engine is to fill: a NaN that no arithmetic gives.
var unwritten = math.Float32frombits(0x7fa57e51)

func mark(values []float32) {
	for i := range values {
		values[i] = unwritten
	}
}

func marked(values []float32) bool {
	return slices.ContainsFunc(values, func(v float32) bool { return math.Float32bits(v) == math.Float32bits(unwritten) })
}

// Compile implements engine.Engine.
func (e *Engine) Compile(p engine.Program, o engine.Options) (engine.Network, error) {
	checked, err := e.check(p, o)
	if err != nil {
		return nil, err
	}
	n := &network{Engine: e, id: e.c.instances.Add(1), checked: checked, layout: layoutOf(checked, o), cost: e.price(checked, o), train: o.Mode == engine.Train, batch: o.Batch, ran: map[string]progress{}}
	if n.layout.err != nil {
		return nil, tooLarge(e.c.ref, o.Batch, n.layout.err)
	}
	if err := e.fits(p, o, n.cost); err != nil {
		return nil, err
	}
	if err := n.open(o); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// open lays the memory out, has the engine compile, and gives the network its initial weights.
func (n *network) open(o engine.Options) error {
	var in, out uint32
	var err error
	if n.in, in, err = n.c.shared(n.layout.in.Size(), protocol.HostWrites); err != nil {
		return err
	}
	if n.out, out, err = n.c.shared(n.layout.out.Size(), protocol.PluginWrites); err != nil {
		return err
	}
	if n.transfer, n.arenaTransfer, err = n.c.shared(n.layout.transfer, protocol.PluginWrites); err != nil {
		return err
	}
	view := func(m *memory, id uint32, list []*protocol.NamedTensor) map[string][]float32 {
		views := map[string][]float32{}
		for _, t := range list {
			t.Tensor.Arena = id
			v, verr := protocol.View[float32](m.Bytes(), t.Tensor)
			if verr != nil && err == nil {
				err = n.c.broken("memory was not laid out: %v", verr)
			}
			views[t.Name] = v
		}
		return views
	}
	n.inputs, n.gradients, n.taps = view(n.in, in, n.layout.inputs), view(n.in, in, n.layout.gradients), view(n.out, out, n.layout.outputs)
	if err != nil {
		return err
	}
	n.given = initial(n.checked, o.Seed)
	n.request = &protocol.CompileRequest{
		Instance: n.c.instance, Network: n.id, Encoder: n.checked.Encoder, Heads: n.checked.Heads, Passes: n.checked.Passes, Taps: n.checked.Taps,
		Second: n.checked.Momentum, Train: n.train, Batch: uint32(o.Batch), Precision: string(precision(o)), Threads: uint32(o.Threads), Seed: o.Seed,
		Inputs: n.layout.inputs, Outputs: n.layout.outputs, Gradients: n.layout.gradients,
	}
	compiled := &protocol.Compiled{}
	err = n.c.do(n.calls, protocol.Engine_Compile_FullMethodName, n.request, compiled, nil, func() {
		n.opened = true
		n.c.onRestart(n.id, n.restore)
	})
	if err != nil {
		return n.c.fault(n.calls, n.c.ref, "Compile", err)
	}
	if more := int64(min(compiled.Bytes, 1<<60)) - n.cost.Bytes; more > 0 && !n.own() { // what the engine knows may be less than all
		n.cost.Bytes += more
	} else if more := int64(min(compiled.Bytes, 1<<60)) - n.cost.Elsewhere; more > 0 && n.own() {
		n.cost.Bytes, n.cost.Elsewhere = n.cost.Bytes+more, n.cost.Elsewhere+more
	}
	return n.write(n.all(n.given), false)
}

// initial draws the first weights, of both networks where there are two.
func initial(c *engine.Checked, seed uint64) map[string][]float32 {
	const chunk = 1 << 16
	given := map[string][]float32{}
	var group sync.WaitGroup
	turn := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, name := range c.Names {
		p := c.Params[name]
		values := make([]float32, model.Size(p.Shape))
		given[name] = values
		if c.Momentum {
			given[engine.MomentumPrefix+name] = values
		}
		for from := 0; from < len(values); from += chunk {
			turn <- struct{}{}
			group.Go(func() {
				engine.Initial(seed, name, p.Init, from, values[from:min(from+chunk, len(values))])
				<-turn
			})
		}
	}
	group.Wait()
	return given
}

// all gives those arrays of the network that there are values for, in order.
func (n *network) all(values map[string][]float32) []engine.Array {
	var list []engine.Array
	for _, a := range n.layout.arrays {
		if v, ok := values[a.name]; ok {
			list = append(list, engine.Array{Name: a.name, Shape: a.shape, Data: v})
		}
	}
	return list
}

// restore compiles the network on a new process, and gives it what the last one was given, if it was still that.
func (n *network) restore(ctx context.Context, conn grpc.ClientConnInterface) error {
	client := protocol.NewEngineClient(conn)
	if _, err := client.Compile(ctx, n.request); err != nil {
		return err
	}
	n.births.Add(1)
	if n.moved {
		n.lost.Store(true)
		return nil
	}
	return n.parts(n.all(n.given), func(request *protocol.ArraysRequest, part []engine.Array, views [][]float32) error {
		for i, a := range part {
			copy(views[i], a.Data)
		}
		_, err := client.Write(ctx, request)
		return err
	})
}

// parts calls do for the arrays, as many at a time as go over together, with the memory of each.
func (n *network) parts(list []engine.Array, do func(request *protocol.ArraysRequest, part []engine.Array, views [][]float32) error) error {
	for len(list) > 0 {
		var l protocol.Layout
		request := &protocol.ArraysRequest{Network: n.id}
		var views [][]float32
		for len(request.Arrays) < len(list) {
			a := list[len(request.Arrays)]
			if size := protocol.AlignUp(4 * uint64(model.Size(a.Shape))); len(views) > 0 && l.Size()+size > n.layout.transfer {
				break
			}
			t, err := l.Place(protocol.DType_F32, a.Shape...)
			if err != nil {
				return n.c.broken("memory was not laid out: %v", err)
			}
			t.Arena = n.arenaTransfer
			v, err := protocol.View[float32](n.transfer.Bytes(), t)
			if err != nil {
				return n.c.broken("memory was not laid out: %v", err)
			}
			request.Arrays, views = append(request.Arrays, &protocol.NamedTensor{Name: a.Name, Tensor: t}), append(views, v)
		}
		if err := do(request, list[:len(views)], views); err != nil {
			return err
		}
		list = list[len(views):]
	}
	return nil
}

// do makes a call that a lost network cannot answer.
func (n *network) do(name, method string, request, answer any, begin, done func()) error {
	err := n.c.do(n.calls, method, request, answer, func(bool) error {
		if n.lost.Load() {
			return n.gone()
		}
		if begin != nil {
			begin()
		}
		return nil
	}, done)
	if err != nil && !errors.Is(err, engine.ErrLost) {
		return n.c.fault(n.calls, n.c.ref, name, err)
	}
	return err
}

// gone is the fault of a network that is lost.
func (n *network) gone() error {
	return &fault.Error{Op: "compute", Kind: fault.Plugin, Plugin: n.c.ref.Name, Path: n.c.ref.Path, Where: n.c.ref.Where,
		What: "the plugin's process ended, and what the network had learned went with it", Err: engine.ErrLost, Do: "run the same command again"}
}

// write gives the engine arrays. Those that make a lost network whole bring it back.
func (n *network) write(list []engine.Array, whole bool) error {
	return n.parts(list, func(request *protocol.ArraysRequest, part []engine.Array, views [][]float32) error {
		fill := func() {
			for i, a := range part {
				copy(views[i], a.Data)
			}
		}
		if !whole {
			return n.do("Write", protocol.Engine_Write_FullMethodName, request, &protocol.ArraysDone{}, fill, nil)
		}
		err := n.c.do(n.calls, protocol.Engine_Write_FullMethodName, request, &protocol.ArraysDone{}, func(bool) error { fill(); return nil }, nil)
		if err != nil {
			return n.c.fault(n.calls, n.c.ref, "Write", err)
		}
		return nil
	})
}

// read takes arrays from the engine.
func (n *network) read(which func(a stateArray) bool) ([]engine.Array, error) {
	if n.closed {
		return nil, n.misuse("the network is closed")
	}
	var list []engine.Array
	for _, a := range n.layout.arrays {
		if which(a) {
			list = append(list, engine.Array{Name: a.name, Shape: slices.Clone(a.shape), Data: make([]float32, a.size)})
		}
	}
	return list, n.parts(list, func(request *protocol.ArraysRequest, part []engine.Array, views [][]float32) error {
		begin := func() {
			for _, v := range views {
				mark(v)
			}
		}
		done := func() {
			for i, a := range part {
				copy(a.Data, views[i])
			}
		}
		if err := n.do("Read", protocol.Engine_Read_FullMethodName, request, &protocol.ArraysDone{}, begin, done); err != nil {
			return err
		}
		for _, a := range part {
			if marked(a.Data) {
				return n.c.broken("the engine leaves values of the array %s unwritten when it is read", a.Name)
			}
		}
		return nil
	})
}

func (n *network) misuse(format string, a ...any) error {
	return &fault.Error{Op: "compute", Kind: fault.Internal, Plugin: n.c.ref.Name, What: fmt.Sprintf(format, a...)}
}

// Cost implements engine.Network.
func (n *network) Cost() engine.Cost { return n.cost }

// Input implements engine.Network.
func (n *network) Input(pass string) []float32 { return n.inputs[pass] }

// Tap implements engine.Network.
func (n *network) Tap(name string) []float32 { return n.taps[name] }

// TapShape implements engine.Network.
func (n *network) TapShape(name string) []int64 { return n.layout.shapes[name] }

// TapGradient implements engine.Network.
func (n *network) TapGradient(name string) []float32 { return n.gradients[name] }

// Forward implements engine.Network.
func (n *network) Forward(pass string, samples int, step uint64) error {
	switch {
	case n.closed:
		return n.misuse("the network is closed")
	case n.inputs[pass] == nil:
		return n.misuse("there is no pass %q", pass)
	case samples < 1 || samples > n.batch:
		return n.misuse("pass %q of %d samples in a network for %d", pass, samples, n.batch)
	case samples < n.batch && n.train:
		return n.misuse("pass %q of %d samples: a batch in training has %d", pass, samples, n.batch)
	}
	taps := map[string][]float32{}
	for _, t := range n.checked.Taps {
		if t.Pass == pass {
			taps[t.Name] = n.taps[t.Name][:samples*int(model.Size(n.layout.shapes[t.Name]))]
		}
	}
	begin := func() {
		for _, values := range taps {
			mark(values)
		}
	}
	err := n.do("Forward", protocol.Engine_Forward_FullMethodName, &protocol.ForwardRequest{Network: n.id, Pass: pass, Samples: uint32(samples), Step: step},
		&protocol.Forwarded{}, begin, n.move)
	if err != nil {
		return err
	}
	n.ran[pass], n.broken = ranForward, ""
	for name, values := range taps {
		if protocol.Finite(values) {
			continue
		}
		if marked(values) {
			return n.c.broken("the engine leaves values of the tap %s unwritten in the forward pass of %s", name, pass)
		}
		if n.tame(pass, samples) {
			return n.c.broken("the engine answers with values that are not finite at the tap %s in the forward pass of %s, step %d, though its inputs and weights are, and nothing can overflow", name, pass, step+1)
		}
	}
	return nil
}

// move notes that a network is no longer what it was given.
func (n *network) move() {
	if n.train && !n.moved {
		n.moved, n.given = true, nil
	}
}

// Backward implements engine.Network.
func (n *network) Backward(pass string) error {
	p := n.checked.Pass(pass)
	switch {
	case n.closed:
		return n.misuse("the network is closed")
	case p == nil || !n.train || !p.Gradient:
		return n.misuse("there is no pass %q with a gradient", pass)
	case n.ran[pass] != ranForward:
		return n.misuse("the gradient of pass %q before its forward pass", pass)
	}
	n.ran[pass] = ranBackward
	return n.do("Backward", protocol.Engine_Backward_FullMethodName, &protocol.BackwardRequest{Network: n.id, Pass: pass}, &protocol.BackwardDone{}, nil, n.move)
}

// Step implements engine.Network.
func (n *network) Step(o engine.Optimiser) error {
	if n.closed || !n.layout.learns {
		return n.misuse("a step of a network without gradients")
	}
	if o.Encoder == 0 {
		o.Encoder = 1
	}
	answer := &protocol.StepAnswer{}
	request := &protocol.StepRequest{Network: n.id, Lr: o.LR, Momentum: o.Momentum, WeightDecay: o.WeightDecay, Encoder: o.Encoder}
	if err := n.do("Step", protocol.Engine_Step_FullMethodName, request, answer, nil, n.move); err != nil {
		return err
	}
	if answer.NotFinite == "" {
		clear(n.ran)
		return nil
	}
	name, second := strings.CutPrefix(answer.NotFinite, engine.MomentumPrefix)
	p := n.checked.Params[name]
	what := answer.NotFinite
	switch {
	case p == nil || second && (!n.checked.Momentum || !p.Buffer):
		return n.c.broken("the engine says that %.100q is not finite, which is neither a parameter nor a running statistic of the network", answer.NotFinite)
	case !p.Buffer:
		what = "the gradient of " + what
	}
	n.broken = answer.NotFinite
	return &fault.Error{Op: "train", Kind: fault.Diverged, What: what + " is not finite", Do: "lower the learning rate, or lengthen the warm-up"}
}

// UpdateMomentum implements engine.Network.
func (n *network) UpdateMomentum(m float64) error {
	if n.closed || !n.checked.Momentum {
		return n.misuse("a momentum update of a network without a second one")
	}
	return n.do("Momentum", protocol.Engine_Momentum_FullMethodName, &protocol.MomentumRequest{Network: n.id, M: m}, &protocol.MomentumDone{}, nil, n.move)
}

// Params implements engine.Network.
func (n *network) Params() ([]engine.Array, error) {
	return n.read(func(a stateArray) bool { return a.online })
}

// State implements engine.Network.
func (n *network) State() ([]engine.Array, error) {
	return n.read(func(stateArray) bool { return true })
}

// SetParams implements engine.Network.
func (n *network) SetParams(arrays []engine.Array) error { return n.set(arrays, false) }

// SetState implements engine.Network.
func (n *network) SetState(arrays []engine.Array) error { return n.set(arrays, true) }

// set replaces arrays, once all are known to be the network's.
func (n *network) set(arrays []engine.Array, all bool) error {
	if n.closed {
		return n.misuse("the network is closed")
	}
	known := map[string]stateArray{}
	for _, a := range n.layout.arrays {
		if all || a.online {
			known[a.name] = a
		}
	}
	values := map[string][]float32{}
	for _, a := range arrays {
		is, ok := known[a.Name]
		if !ok {
			return engine.NoArray(a)
		}
		if !slices.Equal(a.Shape, is.shape) || len(a.Data) != is.size {
			return engine.OtherShape(a, is.shape)
		}
		values[a.Name] = a.Data
	}
	whole := len(values) == len(n.layout.arrays)
	if !n.moved { // a new process is given it as well
		for name, v := range values {
			values[name] = slices.Clone(v)
		}
		n.keep(values)
	}
	for {
		births := n.births.Load()
		if err := n.write(n.all(values), whole); err != nil {
			return err
		}
		if births == n.births.Load() || !n.moved { // else some of it went to a process that has ended
			break
		}
	}
	if whole {
		n.lost.Store(false)
	}
	return nil
}

// keep replaces values of what a new process is given, while none is started.
func (n *network) keep(values map[string][]float32) {
	n.c.turn.RLock()
	defer n.c.turn.RUnlock()
	for name, v := range values {
		n.given[name] = v
	}
}

// Close implements engine.Network.
func (n *network) Close() error {
	if n.closed {
		return nil
	}
	n.closed = true
	n.c.drop(n.id)
	var err error
	if n.opened {
		if err = n.c.farewell(protocol.Engine_Drop_FullMethodName, &protocol.DropRequest{Network: n.id}, &protocol.Dropped{}); err != nil {
			err = n.c.fault(context.Background(), n.c.ref, "Drop", err)
		}
	}
	n.in.close()
	n.out.close()
	n.transfer.close()
	n.inputs, n.taps, n.gradients, n.given = nil, nil, nil, nil
	return err
}
