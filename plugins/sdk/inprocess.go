package sdk

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/asterism-ssl/asterism/core/protocol"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Local is a plugin that is called in the process that holds its code: what Serve serves, without a border. It is there
// to measure what the border costs, and to debug a component; runs always start processes.
type Local struct {
	*server
	channel *protocol.Channel
	methods map[string]method
	arenas  uint32
}

type method struct {
	service any
	handle  grpc.MethodHandler
}

// InProcess makes a plugin callable here. Close it.
func InProcess(p Plugin) (*Local, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	channel, theirs, err := protocol.NewChannel()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	fd, err := unix.Dup(int(theirs.Fd())) // ReceiveArenas closes it
	if err != nil {
		channel.Close()
		return nil, err
	}
	arenas, err := protocol.ReceiveArenas(fd, func() {})
	if err != nil {
		channel.Close()
		return nil, err
	}
	l := &Local{server: newServer(p, arenas), channel: channel, methods: map[string]method{}}
	l.register(l)
	return l, nil
}

// RegisterService implements gRPC's registrar.
func (l *Local) RegisterService(d *grpc.ServiceDesc, service any) {
	for _, m := range d.Methods {
		l.methods[d.ServiceName+"/"+m.MethodName] = method{service, m.Handler}
	}
}

// Invoke implements gRPC's connection: it calls the service here.
func (l *Local) Invoke(ctx context.Context, name string, request, answer any, _ ...grpc.CallOption) error {
	m, ok := l.methods[strings.TrimPrefix(name, "/")]
	if !ok {
		return fmt.Errorf("there is no call %s", path.Base(name))
	}
	got, err := m.handle(m.service, ctx, func(into any) error {
		proto.Merge(into.(proto.Message), request.(proto.Message))
		return nil
	}, l.guard)
	if err != nil {
		return err
	}
	proto.Merge(answer.(proto.Message), got.(proto.Message))
	return nil
}

// NewStream implements gRPC's connection: the contract has no streams.
func (l *Local) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, fmt.Errorf("the plugin contract has no streams")
}

// Share makes an arena known to the plugin; the number is the arena's in messages.
func (l *Local) Share(a *protocol.Arena) (uint32, error) {
	l.arenas++
	return l.arenas, l.channel.Share(l.arenas, a, false)
}

// Close takes every arena back.
func (l *Local) Close() error { return l.channel.Close() }
