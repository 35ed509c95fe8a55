// Bare is a plugin of the tests that is not made with the SDK, to do what the SDK keeps authors from: an augmentation that
// adds one and a dataset of zeros, which keep the contract except for what the first argument names.
package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// lie is what this process does wrong.
var lie string

type server struct {
	plugin.NetRPCUnsupportedPlugin
	protocol.UnimplementedPluginServer
	arenas *protocol.Arenas

	mu        sync.Mutex
	instances map[uint32]string
}

func main() {
	if len(os.Args) > 1 {
		lie = os.Args[1]
	}
	fd, err := strconv.Atoi(os.Getenv(protocol.ChannelEnv))
	if err != nil {
		os.Exit(1)
	}
	arenas, err := protocol.ReceiveArenas(fd, func() {
		if lie != "orphan" {
			os.Exit(0)
		}
	})
	if err != nil {
		os.Exit(1)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{ProtocolVersion: protocol.API, MagicCookieKey: protocol.CookieName, MagicCookieValue: protocol.CookieValue},
		Plugins:         plugin.PluginSet{"asterism": &server{arenas: arenas, instances: map[uint32]string{}}},
		GRPCServer:      plugin.DefaultGRPCServer,
	})
	if lie == "lingers" || lie == "clings" && worked.Load() {
		time.Sleep(time.Hour)
	}
}

type (
	view struct {
		protocol.UnimplementedAugmentationServer
		*server
	}
	data struct {
		protocol.UnimplementedDatasetServer
		*server
	}
)

func (b *server) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	protocol.RegisterPluginServer(g, b)
	protocol.RegisterAugmentationServer(g, view{server: b})
	protocol.RegisterDatasetServer(g, data{server: b})
	return nil
}

func (*server) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func (b *server) Describe(context.Context, *protocol.DescribeRequest) (*protocol.Description, error) {
	return manifest(), nil
}

func manifest() *protocol.Description {
	const schema = "// Nothing to set.\n#Config: {}"
	return &protocol.Description{Name: "bare", Version: "1.0.0", Api: protocol.API, Components: []*protocol.ComponentInfo{
		{Name: "view", Kind: protocol.Kind_AUGMENTATION, Revision: 1, Schema: schema, Summary: "Does it."},
		{Name: "data", Kind: protocol.Kind_DATASET, Revision: 1, Schema: schema, Summary: "Does it."}}}
}

func (b *server) Configure(_ context.Context, r *protocol.ConfigureRequest) (*protocol.Configured, error) {
	if r.Component != "view" && r.Component != "data" || string(r.Config) == "{" {
		return nil, errors.New("no such component, or no configuration")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.instances[r.Instance] = r.Component
	return &protocol.Configured{}, nil
}

func (b *server) Release(_ context.Context, r *protocol.ReleaseRequest) (*protocol.Released, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if lie != "keeps" {
		delete(b.instances, r.Instance)
	}
	return &protocol.Released{}, nil
}

func (b *server) check(instance uint32, component string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := b.instances[instance]; got != component && lie != "anyone" {
		return errors.New("there is no such instance")
	}
	return nil
}

func (b view) Plan(_ context.Context, r *protocol.AugmentationPlanRequest) (*protocol.AugmentationPlan, error) {
	return &protocol.AugmentationPlan{Leaves: r.Facts}, b.check(r.Instance, "view")
}

// worked says whether Apply was called.
var worked atomic.Bool

func (b view) Apply(_ context.Context, r *protocol.ApplyRequest) (*protocol.Applied, error) {
	worked.Store(true)
	n := int64(len(r.Samples))
	for _, l := range r.Chain {
		if err := b.check(l.Instance, "view"); err != nil {
			return nil, err
		}
	}
	if lie == "empty" && n == 0 {
		return nil, errors.New("an empty batch")
	}
	sound := len(r.Chain) > 0 && r.In != nil && r.Out != nil && len(r.Out.Shape) > 1 && r.In.Shape[0] == n && slices.Equal(r.In.Shape, r.Out.Shape) && slices.Equal(r.In.Shape[1:], r.Chain[0].Facts.Shape)
	if !sound {
		if lie == "blind" {
			return &protocol.Applied{}, nil
		}
		return nil, errors.New("shapes that do not belong together")
	}
	in, _, done, err := b.arenas.Use(r.In.Arena)
	if err != nil {
		return nil, err
	}
	defer done()
	out, _, done2, err := b.arenas.Use(r.Out.Arena)
	if err != nil {
		return nil, err
	}
	defer done2()
	from, err := protocol.View[float32](in, r.In)
	if err != nil {
		return nil, err
	}
	into, err := protocol.View[float32](out, r.Out)
	if err != nil {
		return nil, err
	}
	links := len(r.Chain)
	if lie == "first" {
		links = 1
	}
	for i, v := range from {
		for range links {
			v++
		}
		into[i] = v
	}
	return &protocol.Applied{Finite: lie == "sure"}, nil
}

// opened are the instances that were.
var opened sync.Map

func (b data) Open(_ context.Context, r *protocol.OpenRequest) (*protocol.Catalogue, error) {
	opened.Store(r.Instance, true)
	return &protocol.Catalogue{Count: 10, Dtype: protocol.DType_U8, Scale: 1, Fingerprint: "00", Facts: &protocol.SampleFacts{Shape: []int64{8, 8, 1}, Bands: []string{"a"}}}, b.check(r.Instance, "data")
}

func (b data) Read(_ context.Context, r *protocol.ReadRequest) (*protocol.Records, error) {
	if err := b.check(r.Instance, "data"); err != nil {
		return nil, err
	}
	if (r.First > 10 || r.Count > 10-r.First) && lie != "further" {
		return nil, errors.New("records beyond the last")
	}
	return b.deliver(r.Slot, r.First, r.Count)
}

func (b data) ReadFile(_ context.Context, r *protocol.ReadFileRequest) (*protocol.Records, error) {
	if err := b.check(r.Instance, "data"); err != nil {
		return nil, err
	}
	if _, ok := opened.Load(r.Instance); ok && lie == "late" {
		return nil, status.Error(codes.Unimplemented, "no files")
	}
	return &protocol.Records{Records: []*protocol.Record{{Bad: r.Path + ": no such file"}}}, nil
}

func (b data) deliver(slot *protocol.Slot, first, count uint64) (*protocol.Records, error) {
	if slot == nil {
		return nil, errors.New("no slot")
	}
	mem, writable, done, err := b.arenas.Use(slot.Arena)
	if err != nil {
		return nil, err
	}
	defer done()
	if !writable || slot.Offset > uint64(len(mem)) || slot.Size > uint64(len(mem))-slot.Offset {
		return nil, errors.New("a slot outside of its arena")
	}
	answer := &protocol.Records{}
	for k := range count {
		at := slot.Offset + 64*k
		end := slot.Offset + slot.Size
		if lie == "more" {
			end += 64
		}
		if at+64 > end {
			break
		}
		clear(mem[at : at+64])
		answer.Records = append(answer.Records, &protocol.Record{Index: first + k, Id: strconv.Itoa(int(first + k)),
			Pixels: &protocol.Tensor{Arena: slot.Arena, Offset: at, Dtype: protocol.DType_U8, Shape: []int64{8, 8, 1}}})
	}
	if lie == "eager" && len(answer.Records) < int(count) {
		return nil, errors.New("the slot is too small")
	}
	if lie == "where" && len(answer.Records) > 0 {
		answer.Records[0].Pixels.Offset = 0
	}
	return answer, nil
}
