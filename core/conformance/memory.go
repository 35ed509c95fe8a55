package conformance

import (
	"context"
	"fmt"

	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// ground is an arena with room for tensors, each between guards: bytes that nobody may change.
type ground struct {
	*protocol.Arena
	layout  protocol.Layout
	tensors []*protocol.Tensor
	names   []string
	d       plugin.Direct
	id      uint32
}

const guard = 4096 // bytes before and after each tensor

// canaries is what stands in guards, over and over.
var canaries = func() []byte {
	b := make([]byte, 1<<16)
	for i := range b {
		b[i] = byte(i*31 + i>>8 + 7)
	}
	return b
}()

// canary is what stands at a place of a guard.
func canary(i int) byte { return canaries[i%len(canaries)] }

// place makes room for a tensor; its arena is known after share.
func (g *ground) place(name string, d protocol.DType, shape ...int64) (*protocol.Tensor, error) {
	if _, err := g.layout.Place(protocol.DType_U8, guard); err != nil {
		return nil, err
	}
	t, err := g.layout.Place(d, shape...)
	if err == nil {
		g.tensors, g.names = append(g.tensors, t), append(g.names, name)
	}
	return t, err
}

// share makes the arena and gives it to the plugin, for writing: what only the kernel would keep it from is looked at too.
func (g *ground) share(ctx context.Context, d plugin.Direct) error {
	g.layout.Place(protocol.DType_U8, guard)
	var err error
	if g.Arena, err = protocol.NewArena(g.layout.Size(), protocol.PluginWrites); err != nil {
		return err
	}
	for i := 0; i < len(g.Bytes()); i += len(canaries) {
		copy(g.Bytes()[i:], canaries)
	}
	if g.id, err = d.Share(ctx, g.Arena); err != nil {
		g.Arena.Close()
		g.Arena = nil
		return err
	}
	g.d = d
	for _, t := range g.tensors {
		t.Arena = g.id
	}
	return nil
}

func (g *ground) close() {
	if g.Arena != nil {
		g.d.Unshare(g.id)
		g.Arena.Close()
		g.Arena = nil
	}
}

// fill puts one byte everywhere in a tensor.
func (g *ground) fill(t *protocol.Tensor, with byte) {
	n, _ := t.Bytes()
	for i := range n {
		g.Bytes()[t.Offset+i] = with
	}
}

// bytes of a tensor.
func (g *ground) bytes(t *protocol.Tensor) []byte {
	n, _ := t.Bytes()
	return g.Bytes()[t.Offset : t.Offset+n]
}

// harmed says where a guard was written to.
func (g *ground) harmed() (string, bool) {
	at := 0
	check := func(to uint64) bool {
		for ; at < int(to); at++ {
			if g.Bytes()[at] != canary(at) {
				return true
			}
		}
		return false
	}
	for i, t := range g.tensors {
		if check(t.Offset) {
			if i > 0 {
				last := g.tensors[i-1]
				n, _ := last.Bytes()
				if past := uint64(at) - last.Offset - n; past < guard/2 {
					return fmt.Sprintf("byte %d after the end of %s was changed", past, g.names[i-1]), true
				}
			}
			return fmt.Sprintf("byte %d before the beginning of %s was changed", t.Offset-uint64(at), g.names[i]), true
		}
		n, _ := t.Bytes()
		at = int(t.Offset + n)
	}
	if check(g.Size()) {
		last := g.tensors[len(g.tensors)-1]
		n, _ := last.Bytes()
		return fmt.Sprintf("byte %d after the end of %s was changed", uint64(at)-last.Offset-n, g.names[len(g.names)-1]), true
	}
	return "", false
}

// view gives a tensor of an arena as values. What the kit laid out itself is there.
func view[T protocol.Number](g *ground, t *protocol.Tensor) []T {
	v, err := protocol.View[T](g.Bytes(), t)
	if err != nil {
		panic("conformance: memory was laid out wrongly: " + err.Error())
	}
	return v
}
