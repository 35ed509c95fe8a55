package plugin

import (
	"context"
	"fmt"
	"io"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// memory is an arena and what it is called in each plugin that has it.
type memory struct {
	*protocol.Arena
	ids map[*supervisor]uint32
}

// newMemory makes an arena that nobody has yet.
func newMemory(r Ref, size uint64, access protocol.Access) (*memory, error) {
	a, err := protocol.NewArena(size, access)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Resource, Plugin: r.Name, Path: r.Path, Where: r.Where, What: "memory is short", Err: err,
			Do: "use a smaller batch, or a machine with more memory"}
	}
	return &memory{a, map[*supervisor]uint32{}}, nil
}

// share gives the arena to a plugin.
func (m *memory) share(c *configured, readOnly bool) error {
	if _, ok := m.ids[c.supervisor]; ok {
		return nil
	}
	id, err := c.supervisor.share(context.Background(), m.Arena, readOnly)
	if err == nil {
		m.ids[c.supervisor] = id
		return nil
	}
	f := &fault.Error{Kind: fault.Plugin, Plugin: c.ref.Name, Path: c.ref.Path, Where: c.ref.Where}
	if p := c.now.Load(); p.child.ended(0) || err == io.EOF {
		p.crashed(f, "a transfer of memory")
	} else {
		f.What, f.Err = "the plugin does not take shared memory", err
	}
	return f
}

// close takes the arena back everywhere.
func (m *memory) close() {
	if m == nil {
		return
	}
	for s, id := range m.ids {
		s.unshare(id)
	}
	m.Arena.Close()
}

// shared makes an arena for one plugin.
func (c *configured) shared(size uint64, access protocol.Access) (*memory, uint32, error) {
	m, err := newMemory(c.ref, size, access)
	if err != nil {
		return nil, 0, err
	}
	if err := m.share(c, false); err != nil {
		m.close()
		return nil, 0, err
	}
	return m, m.ids[c.supervisor], nil
}

// answerRoom is how much more than the promised bytes an arena for answers has: each tensor starts on a boundary.
const answerRoom = 64 << 10

// room makes an arena for an answer of at most n bytes.
func (c *configured) room(n uint64) (*memory, *protocol.Slot, error) {
	m, id, err := c.shared(protocol.AlignUp(n)+answerRoom, protocol.PluginWrites)
	if err != nil {
		return nil, nil, err
	}
	return m, &protocol.Slot{Arena: id, Size: m.Size()}, nil
}

// outgoing is a set of tensors on its way into a plugin: place all, then load.
type outgoing struct {
	layout protocol.Layout
	copies []func(mem []byte) error
	placed []*protocol.Tensor
}

// place makes room for a tensor and gives its message. Its arena is known after load.
func (o *outgoing) place(t Tensor) (*protocol.NamedTensor, error) {
	var m *protocol.Tensor
	var err error
	switch {
	case t.F64 != nil:
		m, err = place(o, t.F64, t.Shape)
	case t.I64 != nil:
		m, err = place(o, t.I64, t.Shape)
	case t.U8 != nil:
		m, err = place(o, t.U8, t.Shape)
	default:
		m, err = place(o, t.F32, t.Shape)
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, What: fmt.Sprintf("the tensor %q cannot be sent", t.Name), Err: err}
	}
	return &protocol.NamedTensor{Name: t.Name, Tensor: m, Categories: t.Categories, Fitted: t.Fitted}, nil
}

func place[T protocol.Number](o *outgoing, values []T, shape []int64) (*protocol.Tensor, error) {
	if n, ok := protocol.Count(shape); !ok || n != uint64(len(values)) {
		return nil, fmt.Errorf("%d values for the shape %v", len(values), shape)
	}
	t, err := o.layout.Place(protocol.TypeOf[T](), shape...)
	if err != nil {
		return nil, err
	}
	o.placed = append(o.placed, t)
	o.copies = append(o.copies, func(mem []byte) error {
		into, err := protocol.View[T](mem, t)
		if err == nil {
			copy(into, values)
		}
		return err
	})
	return t, nil
}

func (o *outgoing) placeAll(ts []Tensor) ([]*protocol.NamedTensor, error) {
	var list []*protocol.NamedTensor
	for _, t := range ts {
		n, err := o.place(t)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

// load makes the arena, fills it and gives it to the plugin.
func (o *outgoing) load(c *configured) (*memory, error) {
	m, id, err := c.shared(o.layout.Size(), protocol.HostWrites)
	if err != nil {
		return nil, err
	}
	for i, t := range o.placed {
		t.Arena = id
		if err := o.copies[i](m.Bytes()); err != nil {
			m.close()
			return nil, c.broken("memory was not laid out: %v", err)
		}
	}
	return m, nil
}

// incoming copies the tensors of an answer out of the slot that they must lie in.
func (c *configured) incoming(m *memory, slot *protocol.Slot, answer []*protocol.NamedTensor) ([]Tensor, error) {
	var list []Tensor
	for _, n := range answer {
		if err := inside(n.GetTensor(), slot); err != nil {
			return nil, c.broken("the component answered with %v for %q", err, n.GetName())
		}
		t := Tensor{Name: n.Name, Shape: append([]int64{}, n.Tensor.Shape...), Categories: n.Categories, Fitted: n.Fitted}
		var err error
		switch n.Tensor.Dtype {
		case protocol.DType_F32:
			t.F32, err = taken[float32](m, n.Tensor)
		case protocol.DType_F64:
			t.F64, err = taken[float64](m, n.Tensor)
		case protocol.DType_I64:
			t.I64, err = taken[int64](m, n.Tensor)
		case protocol.DType_U8:
			t.U8, err = taken[uint8](m, n.Tensor)
		}
		if err != nil {
			return nil, c.broken("the component answered with %v for %q", err, n.Name)
		}
		list = append(list, t)
	}
	return list, nil
}

func taken[T protocol.Number](m *memory, t *protocol.Tensor) ([]T, error) {
	v, err := protocol.View[T](m.Bytes(), t)
	return append(make([]T, 0, len(v)), v...), err
}

// inside says whether a tensor of an answer lies in the slot that was given for it.
func inside(t *protocol.Tensor, slot *protocol.Slot) error {
	if t == nil {
		return fmt.Errorf("no tensor")
	}
	if t.Arena != slot.Arena {
		return fmt.Errorf("a tensor in the arena %d, not in %d, which it was given", t.Arena, slot.Arena)
	}
	return t.Inside(slot.Offset, slot.Offset+slot.Size)
}
