package plugin

import (
	"context"

	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/grpc"
)

// Direct is a running plugin without what the host makes of its answers: raw calls and raw memory, for those that look
// at the contract itself, the conformance kit and benchmarks. A process that ends is started anew here too.
type Direct struct{ s *supervisor }

// Direct starts a plugin if need be.
func (h *Host) Direct(ctx context.Context, name string) (Direct, error) {
	s, err := h.process(ctx, Ref{Name: name})
	return Direct{s}, err
}

// Description is what the plugin says of itself.
func (d Direct) Description() *protocol.Description { return d.s.description }

// Conn is the connection, for the contract's clients: protocol.NewAugmentationClient(d.Conn()).
func (d Direct) Conn() grpc.ClientConnInterface { return d.s }

// Configure makes an instance of a component and gives its number.
func (d Direct) Configure(ctx context.Context, component string, config []byte) (uint32, error) {
	id := d.s.instances.Add(1)
	_, err := d.s.control.Configure(ctx, &protocol.ConfigureRequest{Component: component, Config: config, Instance: id})
	return id, err
}

// Release lets go of an instance.
func (d Direct) Release(ctx context.Context, instance uint32) error {
	d.s.drop(instance)
	_, err := d.s.control.Release(ctx, &protocol.ReleaseRequest{Instance: instance})
	return err
}

// Share gives an arena to the plugin; the number is the arena's in messages.
func (d Direct) Share(ctx context.Context, a *protocol.Arena) (uint32, error) {
	return d.s.share(ctx, a, false)
}

// Unshare takes an arena back. Call it before the arena is closed.
func (d Direct) Unshare(arena uint32) { d.s.unshare(arena) }

// PID is the number of the process.
func (d Direct) PID() int { return int(d.s.now.Load().child.pid.Load()) }

// Log gives the last lines that the plugin wrote.
func (d Direct) Log() string { return d.s.now.Load().output.tail() }
