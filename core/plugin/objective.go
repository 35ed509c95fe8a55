package plugin

import (
	"context"
	"fmt"
	"slices"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/grpc"
)

// Objective is a configured objective. It is used by one goroutine.
type Objective struct {
	c         *configured
	program   *protocol.Program
	in, out   *memory // taps and labels; gradients
	request   *protocol.LossRequest
	taps      map[string][]float32
	gradients map[string][]float32
	labels    map[string][]float64
	replay    replay // where there is a state
}

// Objective configures an objective.
func (h *Host) Objective(ctx context.Context, r Ref) (*Objective, error) {
	c, err := h.configure(ctx, r, protocol.Kind_OBJECTIVE)
	if err != nil {
		return nil, err
	}
	return &Objective{c: c}, nil
}

// Plan gives the program for the training loop, and begins anew: Bind comes after it. The request's instance is filled in.
func (o *Objective) Plan(ctx context.Context, r *protocol.ProgramRequest) (*protocol.Program, error) {
	r.Instance = o.c.instance
	p, given := &protocol.Program{}, o.replay.given
	if err := o.c.do(ctx, protocol.Objective_Plan_FullMethodName, r, p, nil, func() { o.replay.keep(nil, nil) }); err != nil {
		return nil, o.c.fault(ctx, o.c.ref, "Plan", err)
	}
	given.close()
	o.unbind()
	o.replay.close()
	if err := checkProgram(p); err != nil {
		return nil, o.c.broken("the program does not hold together: %v", err)
	}
	if p.StateBytes > 0 && (o.program == nil || o.program.StateBytes == 0) {
		o.c.onRestart(o.c.instance, func(ctx context.Context, conn grpc.ClientConnInterface) error {
			return o.replay.restore(ctx, o.c.instance, conn)
		})
	}
	o.program = p
	return p, nil
}

// checkProgram finds names that refer to nothing.
func checkProgram(p *protocol.Program) error {
	views, heads, passes, taps := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, v := range p.Views {
		if v.Name == "" || views[v.Name] {
			return fmt.Errorf("the view %q is empty or there twice", v.Name)
		}
		views[v.Name] = true
	}
	for _, h := range p.Heads {
		if h.Name == "" || heads[h.Name] || h.Model == nil {
			return fmt.Errorf("the head %q is empty or there twice", h.Name)
		}
		heads[h.Name] = true
	}
	for _, s := range p.Passes {
		if s.Name == "" || passes[s.Name] {
			return fmt.Errorf("the pass %q is empty or there twice", s.Name)
		}
		if !views[s.View] {
			return fmt.Errorf("the pass %q uses the view %q, which is not there", s.Name, s.View)
		}
		if s.Gradient && s.Network != protocol.Network_ONLINE {
			return fmt.Errorf("the pass %q has a gradient, which only the online network takes", s.Name)
		}
		for _, h := range s.Heads {
			if !heads[h] {
				return fmt.Errorf("the pass %q uses the head %q, which is not there", s.Name, h)
			}
		}
		passes[s.Name] = true
	}
	for _, t := range p.Taps {
		if t.Name == "" || taps[t.Name] {
			return fmt.Errorf("the tap %q is empty or there twice", t.Name)
		}
		i := slices.IndexFunc(p.Passes, func(s *protocol.Pass) bool { return s.Name == t.Pass })
		if i < 0 {
			return fmt.Errorf("the tap %q is of the pass %q, which is not there", t.Name, t.Pass)
		}
		if t.Output != "representation" && t.Output != "features" && !slices.Contains(p.Passes[i].Heads, t.Output) {
			return fmt.Errorf("the tap %q is of the output %q, which the pass %q does not have", t.Name, t.Output, t.Pass)
		}
		taps[t.Name] = true
	}
	return nil
}

// Bind makes the shared memory of the taps, of the gradients of those taps whose passes have one, and of the labels.
// Widths gives the shape of each tap without the batch. Call it after Plan; calling it again makes new memory.
func (o *Objective) Bind(batch int, widths map[string][]int64, labels []string) error {
	if o.program == nil || batch < 1 {
		return &fault.Error{Kind: fault.Internal, Plugin: o.c.ref.Name, What: "Bind before Plan, or without a batch"}
	}
	o.unbind()
	var in, out protocol.Layout
	request := &protocol.LossRequest{Instance: o.c.instance}
	for _, t := range o.program.Taps {
		width, ok := widths[t.Name]
		if !ok {
			return &fault.Error{Kind: fault.Internal, Plugin: o.c.ref.Name, What: fmt.Sprintf("the tap %q has no width", t.Name)}
		}
		shape := append([]int64{int64(batch)}, width...)
		tensor, err := in.Place(protocol.DType_F32, shape...)
		if err != nil {
			return tooLarge(o.c.ref, batch, err)
		}
		request.Taps = append(request.Taps, &protocol.NamedTensor{Name: t.Name, Tensor: tensor})
		if !slices.ContainsFunc(o.program.Passes, func(p *protocol.Pass) bool { return p.Name == t.Pass && p.Gradient }) {
			continue
		}
		if tensor, err = out.Place(protocol.DType_F32, shape...); err != nil {
			return tooLarge(o.c.ref, batch, err)
		}
		request.Gradients = append(request.Gradients, &protocol.NamedTensor{Name: t.Name, Tensor: tensor})
	}
	for _, name := range labels {
		tensor, err := in.Place(protocol.DType_F64, int64(batch))
		if err != nil {
			return tooLarge(o.c.ref, batch, err)
		}
		request.Labels = append(request.Labels, &protocol.NamedTensor{Name: name, Tensor: tensor})
	}
	var err error
	var inID, outID uint32
	if o.in, inID, err = o.c.shared(in.Size(), protocol.HostWrites); err != nil {
		return err
	}
	if o.out, outID, err = o.c.shared(out.Size(), protocol.PluginWrites); err != nil {
		return err
	}
	o.taps, o.gradients, o.labels = map[string][]float32{}, map[string][]float32{}, map[string][]float64{}
	for _, n := range request.Taps {
		n.Tensor.Arena = inID
		if o.taps[n.Name], err = protocol.View[float32](o.in.Bytes(), n.Tensor); err != nil {
			return o.c.broken("memory was not laid out: %v", err)
		}
	}
	for _, n := range request.Gradients {
		n.Tensor.Arena = outID
		if o.gradients[n.Name], err = protocol.View[float32](o.out.Bytes(), n.Tensor); err != nil {
			return o.c.broken("memory was not laid out: %v", err)
		}
	}
	for _, n := range request.Labels {
		n.Tensor.Arena = inID
		if o.labels[n.Name], err = protocol.View[float64](o.in.Bytes(), n.Tensor); err != nil {
			return o.c.broken("memory was not laid out: %v", err)
		}
	}
	if o.program.StateBytes > 0 {
		if len(o.replay.steps) > 0 {
			return &fault.Error{Kind: fault.Internal, Plugin: o.c.ref.Name, What: "Bind after Loss, without State in between"}
		}
		if err := o.replay.bind(o.c, request, in.Size(), out.Size()); err != nil {
			return err
		}
	}
	o.request = request
	return nil
}

func (o *Objective) unbind() {
	o.replay.unbind()
	o.in.close()
	o.out.close()
	o.in, o.out, o.request, o.taps, o.gradients, o.labels = nil, nil, nil, nil, nil, nil
}

// Tap is the memory of a tap, [batch, width]: fill it before Loss.
func (o *Objective) Tap(name string) []float32 { return o.taps[name] }

// Gradient is the memory of the loss's gradient at a tap, filled by Loss; nil for a tap of a pass without gradient.
func (o *Objective) Gradient(name string) []float32 { return o.gradients[name] }

// Label is the memory of a label column, [batch]: fill it before Loss, NaN where missing.
func (o *Objective) Label(name string) []float64 { return o.labels[name] }

// Loss computes the loss of one step from the taps and labels, and fills the gradients, which are zero before.
func (o *Objective) Loss(ctx context.Context, step uint64) (*protocol.LossAnswer, error) {
	if o.request == nil {
		return nil, &fault.Error{Kind: fault.Internal, Plugin: o.c.ref.Name, What: "Loss before Bind"}
	}
	o.request.Step = step
	replayed := o.program.StateBytes > 0
	if replayed && o.replay.full() {
		if _, err := o.keep(ctx); err != nil {
			return nil, err
		}
	}
	answer := &protocol.LossAnswer{}
	begin := func(first bool) error {
		for _, g := range o.gradients {
			clear(g)
		}
		if first && replayed {
			o.replay.begin(step, o.in.Bytes())
		}
		return nil
	}
	if err := o.c.do(ctx, protocol.Objective_Loss_FullMethodName, o.request, answer, begin, func() { o.replay.open = false }); err != nil {
		return nil, o.c.fault(ctx, o.c.ref, "Loss", err)
	}
	return answer, nil
}

// State gives what a checkpoint must keep.
func (o *Objective) State(ctx context.Context) ([]Tensor, error) {
	if o.program == nil {
		return nil, &fault.Error{Kind: fault.Internal, Plugin: o.c.ref.Name, What: "State before Plan"}
	}
	answer, err := o.keep(ctx)
	if err != nil {
		return nil, err
	}
	r := &o.replay
	return o.c.incoming(r.rooms[r.turn], o.slot(), answer.Tensors)
}

// keep has the state written into shared memory, from which a new process is given it.
func (o *Objective) keep(ctx context.Context) (*protocol.StateAnswer, error) {
	r := &o.replay
	next := 1 - r.turn
	if r.rooms[next] == nil {
		m, _, err := o.c.room(o.program.StateBytes)
		if err != nil {
			return nil, err
		}
		r.rooms[next] = m
	}
	slot := &protocol.Slot{Arena: r.rooms[next].ids[o.c.supervisor], Size: r.rooms[next].Size()}
	answer, given := &protocol.StateAnswer{}, r.given
	err := o.c.do(ctx, protocol.Objective_State_FullMethodName, &protocol.StateRequest{Instance: o.c.instance, Slot: slot}, answer, nil, func() {
		r.turn = next
		r.keep(answer.Tensors, nil)
	})
	if err != nil {
		return nil, o.c.fault(ctx, o.c.ref, "State", err)
	}
	given.close()
	return answer, nil
}

// slot is where the state was last written.
func (o *Objective) slot() *protocol.Slot {
	m := o.replay.rooms[o.replay.turn]
	return &protocol.Slot{Arena: m.ids[o.c.supervisor], Size: m.Size()}
}

// SetState puts back what State gave.
func (o *Objective) SetState(ctx context.Context, s []Tensor) error {
	var out outgoing
	tensors, err := out.placeAll(s)
	if err != nil {
		return err
	}
	m, err := out.load(o.c)
	if err != nil {
		return err
	}
	given := o.replay.given
	err = o.c.do(ctx, protocol.Objective_SetState_FullMethodName, &protocol.SetStateRequest{Instance: o.c.instance, Tensors: tensors}, &protocol.StateSet{}, nil,
		func() { o.replay.keep(tensors, m) })
	if err != nil {
		m.close()
		return o.c.fault(ctx, o.c.ref, "SetState", err)
	}
	given.close()
	return nil
}

// Close releases the instance and its memory: the slices of Tap, Gradient and Label must not be used afterwards.
func (o *Objective) Close() error {
	err := o.c.release() // first: a new process is not brought to where this one was from memory that is gone
	o.unbind()
	o.replay.close()
	return err
}
