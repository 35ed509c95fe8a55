package plugin

import (
	"context"

	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// replayBytes is how much memory the steps since an objective's state was last kept may take before it is kept again.
const replayBytes = 64 << 20

// replay holds what an objective's state has come from: the state as it was last kept by the host, and what each step
// since was given. From these a new process is brought to where the last one was, bit for bit, because a loss and the
// state after it follow from the state before and the taps alone. Its fields change while no process is replaced.
type replay struct {
	kept  []*protocol.NamedTensor // of the state; nil: as it is after Plan
	given *memory                 // where they lie, when they came from SetState
	rooms [2]*memory              // where they lie otherwise, in turn: the last one stands while the next is written
	turn  int

	steps   []step
	open    bool // the last of them is being computed
	in, out *memory
	request *protocol.LossRequest // as the objective's own, in memory of its own
}

// step is what one call of Loss was given.
type step struct {
	number uint64
	taps   []byte // and labels, as they lie in memory
}

// begin takes down a step that is about to be computed.
func (r *replay) begin(number uint64, taps []byte) {
	if r.open { // the last one failed
		r.steps = r.steps[:len(r.steps)-1]
	}
	n := len(r.steps)
	if n == cap(r.steps) {
		r.steps = append(r.steps, step{})
	}
	r.steps = r.steps[:n+1]
	s := &r.steps[n] // its memory may be of a step of long ago
	s.number, s.taps = number, append(s.taps[:0], taps...)
	r.open = true
}

// full says whether the state should be kept before the next step.
func (r *replay) full() bool {
	return len(r.steps) > 0 && len(r.steps)*len(r.steps[0].taps) >= replayBytes
}

// keep begins again from a state.
func (r *replay) keep(state []*protocol.NamedTensor, given *memory) {
	r.kept, r.given, r.steps, r.open = state, given, r.steps[:0], false
}

// bind makes memory for steps to be computed again.
func (r *replay) bind(c *configured, request *protocol.LossRequest, in, out uint64) error {
	r.unbind()
	var inID, outID uint32
	var err error
	if r.in, inID, err = c.shared(in, protocol.HostWrites); err != nil {
		return err
	}
	if r.out, outID, err = c.shared(out, protocol.PluginWrites); err != nil {
		return err
	}
	r.request = proto.CloneOf(request)
	for _, list := range [][]*protocol.NamedTensor{r.request.Taps, r.request.Labels} {
		for _, n := range list {
			n.Tensor.Arena = inID
		}
	}
	for _, n := range r.request.Gradients {
		n.Tensor.Arena = outID
	}
	return nil
}

func (r *replay) unbind() {
	r.in.close()
	r.out.close()
	r.in, r.out, r.request = nil, nil, nil
}

// restore brings a new process to where the last one was before the step that is being computed, if one is.
func (r *replay) restore(ctx context.Context, instance uint32, conn grpc.ClientConnInterface) error {
	client := protocol.NewObjectiveClient(conn)
	if r.kept != nil {
		if _, err := client.SetState(ctx, &protocol.SetStateRequest{Instance: instance, Tensors: r.kept}); err != nil {
			return err
		}
	}
	steps := r.steps
	if r.open {
		steps = steps[:len(steps)-1]
	}
	for _, s := range steps {
		copy(r.in.Bytes(), s.taps)
		clear(r.out.Bytes())
		r.request.Step = s.number
		if _, err := client.Loss(ctx, r.request); err != nil {
			return err
		}
	}
	return nil
}

func (r *replay) close() {
	r.unbind()
	r.given.close()
	for _, m := range r.rooms {
		m.close()
	}
	*r = replay{}
}
