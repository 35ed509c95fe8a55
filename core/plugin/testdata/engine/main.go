// Engine is a plugin that computes with the native engine, without the SDK, and can be told to fail.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/asterism-ssl/asterism/core/engine"
	"github.com/asterism-ssl/asterism/core/engine/native"
	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

const schema = `
#Config: {
	// What goes wrong: nothing, crash, hang, nan, unwritten, or a wrong name in an answer.
	how: *"" | "crash" | "hang" | "nan" | "unwritten" | "name"
	// In which call.
	call: string | *"Forward"
	// In which step of training.
	at: int & >=0 | *0
	// A file that counts how often it has gone wrong.
	file: string | *""
	// How often it goes wrong.
	times: int & >=0 | *1
	// What the device is called.
	device: string | *"cpu"
}
`

type config struct {
	How, Call, File, Device string
	At, Times               int
}

type server struct {
	plugin.NetRPCUnsupportedPlugin
	protocol.UnimplementedPluginServer
	protocol.UnimplementedEngineServer
	arenas *protocol.Arenas

	mu       sync.Mutex
	configs  map[uint32]config
	networks map[uint32]*network
	reports  int
}

type network struct {
	engine.Network
	config
	request *protocol.CompileRequest
	step    uint64
}

// lie is a rule of the contract that is broken throughout, the first argument.
var lie string

// stderr is the one that go-plugin does not replace.
var stderr = os.Stderr

func main() {
	s := &server{configs: map[uint32]config{}, networks: map[uint32]*network{}}
	if len(os.Args) > 1 {
		lie = os.Args[1]
	}
	if last := os.Args[len(os.Args)-1]; last == "describe" {
		d, _ := s.Describe(context.Background(), nil)
		text, _ := protojson.Marshal(d)
		fmt.Println(`{"command":["./` + filepath.Base(os.Args[0]) + `"],` + strings.TrimSpace(string(text))[1:])
		return
	}
	fd, err := strconv.Atoi(os.Getenv(protocol.ChannelEnv))
	if err != nil {
		os.Exit(1)
	}
	if s.arenas, err = protocol.ReceiveArenas(fd, func() { os.Exit(0) }); err != nil {
		os.Exit(1)
	}
	if set := os.Getenv("ASTERISM_KERNEL"); set != "" {
		if err := kernel.Select(set); err != nil {
			os.Exit(1)
		}
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{ProtocolVersion: protocol.API, MagicCookieKey: protocol.CookieName, MagicCookieValue: protocol.CookieValue},
		Plugins:         plugin.PluginSet{"asterism": s},
		Logger:          hclog.NewNullLogger(),
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.MaxRecvMsgSize(protocol.MaxMessage), grpc.MaxSendMsgSize(protocol.MaxMessage))...)
		},
	})
}

func (s *server) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	protocol.RegisterPluginServer(g, s)
	protocol.RegisterEngineServer(g, s)
	return nil
}

func (*server) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func (*server) Describe(context.Context, *protocol.DescribeRequest) (*protocol.Description, error) {
	return &protocol.Description{Name: "twin", Version: "1.0.0", Api: protocol.API, Components: []*protocol.ComponentInfo{
		{Name: "engine", Kind: protocol.Kind_ENGINE, Revision: 3, Schema: schema, Summary: "the native engine in a process of its own"}}}, nil
}

func (s *server) Configure(_ context.Context, r *protocol.ConfigureRequest) (*protocol.Configured, error) {
	c := config{Call: "Forward", Times: 1, Device: "cpu"}
	if err := json.Unmarshal(r.Config, &c); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.configs[r.Instance] = c
	return &protocol.Configured{}, nil
}

func (s *server) Release(context.Context, *protocol.ReleaseRequest) (*protocol.Released, error) {
	return &protocol.Released{}, nil
}

func (s *server) Report(_ context.Context, r *protocol.ReportRequest) (*protocol.Capabilities, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	precisions := []string{"float32"}
	if kernel.HasBFloat16() {
		precisions = append(precisions, "bfloat16")
	}
	device := s.configs[r.Instance].Device
	switch lie {
	case "wanders":
		s.reports++
		device += fmt.Sprint(" ", s.reports)
	case "nowhere":
		device = ""
	case "opsetless":
		return &protocol.Capabilities{Device: device, Precisions: precisions}, nil
	case "halves":
		precisions = []string{"bfloat16"}
	}
	return &protocol.Capabilities{Opset: 2, Device: device, Precisions: precisions}, nil
}

func (s *server) Compile(_ context.Context, r *protocol.CompileRequest) (*protocol.Compiled, error) {
	mode, seed := engine.Infer, r.Seed
	if r.Train {
		mode = engine.Train
	}
	switch {
	case lie == "lucky":
		seed++
	case lie == "anyprecision":
		r.Precision = "float32"
	case r.Precision != "float32" && r.Precision != "bfloat16":
		return nil, refusal("there is no precision " + r.Precision)
	}
	n, err := native.New().Compile(engine.Program{Encoder: r.Encoder, Heads: r.Heads, Passes: r.Passes, Taps: r.Taps, Momentum: r.Second},
		engine.Options{Mode: mode, Batch: int(r.Batch), Precision: engine.Precision(r.Precision), Threads: int(r.Threads), Seed: seed})
	if err != nil {
		return nil, err
	}
	// Weights are undefined until they are written.
	state, _ := n.State()
	for _, a := range state {
		if strings.HasPrefix(a.Name, engine.OptimiserPrefix) {
			continue
		}
		for i := range a.Data {
			a.Data[i] = float32(math.NaN())
		}
	}
	if err := n.SetState(state); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.networks[r.Network] = &network{Network: n, config: s.configs[r.Instance], request: r}
	return &protocol.Compiled{Bytes: uint64(n.Cost().Bytes)}, nil
}

// refusal is a fault of the user's configuration.
func refusal(what string) error {
	st, _ := status.New(codes.InvalidArgument, what).WithDetails(&protocol.Fault{Cause: protocol.Fault_CONFIG, What: what})
	return st.Err()
}

func (s *server) network(id uint32) (*network, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.networks[id]; n != nil {
		return n, nil
	}
	return nil, status.Errorf(codes.NotFound, "there is no network %d", id)
}

// wrong says whether a call is to go wrong now, and crashes or hangs where that is how.
func (n *network) wrong(call string) bool {
	if n.How == "" || call != n.Call || !n.request.Train || n.step != uint64(n.At) {
		return false
	}
	done, _ := os.ReadFile(n.File)
	if len(done) >= n.Times {
		return false
	}
	if n.File != "" {
		os.WriteFile(n.File, append(done, '.'), 0o666)
	}
	switch n.How {
	case "crash":
		fmt.Fprintln(stderr, "panic: the device is on fire")
		os.Exit(3)
	case "hang":
		time.Sleep(time.Hour)
	}
	return true
}

// with gives the memory of tensors.
func (s *server) with(list []*protocol.NamedTensor, do func(name string, values []float32) error) error {
	for _, t := range list {
		mem, _, release, err := s.arenas.Use(t.Tensor.Arena)
		if err != nil {
			return err
		}
		values, err := protocol.View[float32](mem, t.Tensor)
		if err == nil {
			err = do(t.Name, values)
		}
		release()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *server) Forward(_ context.Context, r *protocol.ForwardRequest) (*protocol.Forwarded, error) {
	n, err := s.network(r.Network)
	if err != nil {
		return nil, err
	}
	n.step = r.Step
	wrong := n.wrong("Forward")
	err = s.with(n.request.Inputs, func(name string, values []float32) error {
		if name == r.Pass {
			copy(n.Input(name), values)
		}
		return nil
	})
	if err == nil {
		err = n.Network.Forward(r.Pass, int(r.Samples), r.Step)
	}
	if err != nil {
		return nil, err
	}
	return &protocol.Forwarded{}, s.with(n.request.Outputs, func(name string, values []float32) error {
		for _, t := range n.request.Taps {
			if t.Name != name || t.Pass != r.Pass {
				continue
			}
			values = values[:len(values)/int(n.request.Batch)*int(r.Samples)]
			if !(wrong && n.How == "unwritten") {
				copy(values, n.Tap(name))
			}
			if lie == "scaled" || lie == "livestatistics" && !n.request.Train {
				for i := range values {
					values[i] *= 1.001
				}
			}
			if wrong && n.How == "nan" {
				values[len(values)-1] = float32(math.NaN())
			}
		}
		return nil
	})
}

func (s *server) Backward(_ context.Context, r *protocol.BackwardRequest) (*protocol.BackwardDone, error) {
	n, err := s.network(r.Network)
	if err != nil {
		return nil, err
	}
	n.wrong("Backward")
	err = s.with(n.request.Gradients, func(name string, values []float32) error {
		for _, t := range n.request.Taps {
			if t.Name == name && t.Pass == r.Pass {
				copy(n.TapGradient(name), values)
				if lie == "steep" {
					n.TapGradient(name)[0] *= 1.1
				}
			}
		}
		return nil
	})
	if err == nil {
		err = n.Network.Backward(r.Pass)
	}
	return &protocol.BackwardDone{}, err
}

func (s *server) Step(_ context.Context, r *protocol.StepRequest) (*protocol.StepAnswer, error) {
	n, err := s.network(r.Network)
	if err != nil {
		return nil, err
	}
	if n.wrong("Step") {
		return &protocol.StepAnswer{NotFinite: "encoder.nothing"}, nil
	}
	if lie == "decays" {
		r.WeightDecay = 0
	}
	err = n.Network.Step(engine.Optimiser{LR: r.Lr, Momentum: r.Momentum, WeightDecay: r.WeightDecay, Encoder: r.Encoder})
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == fault.Diverged {
		if lie == "goeson" {
			return &protocol.StepAnswer{}, nil
		}
		return &protocol.StepAnswer{NotFinite: strings.TrimPrefix(strings.TrimSuffix(f.What, " is not finite"), "the gradient of ")}, nil
	}
	return &protocol.StepAnswer{}, err
}

func (s *server) Momentum(_ context.Context, r *protocol.MomentumRequest) (*protocol.MomentumDone, error) {
	n, err := s.network(r.Network)
	if err != nil {
		return nil, err
	}
	n.wrong("Momentum")
	return &protocol.MomentumDone{}, n.UpdateMomentum(r.M)
}

func (s *server) Read(_ context.Context, r *protocol.ArraysRequest) (*protocol.ArraysDone, error) {
	n, err := s.network(r.Network)
	if err != nil {
		return nil, err
	}
	n.wrong("Read")
	state, err := n.State()
	if err != nil {
		return nil, err
	}
	have := map[string][]float32{}
	for _, a := range state {
		have[a.Name] = a.Data
	}
	return &protocol.ArraysDone{}, s.with(r.Arrays, func(name string, values []float32) error {
		if len(have[name]) != len(values) {
			return fmt.Errorf("there is no array %s of %d values", name, len(values))
		}
		copy(values, have[name])
		return nil
	})
}

func (s *server) Write(_ context.Context, r *protocol.ArraysRequest) (*protocol.ArraysDone, error) {
	n, err := s.network(r.Network)
	if err != nil {
		return nil, err
	}
	n.wrong("Write")
	return &protocol.ArraysDone{}, s.with(r.Arrays, func(name string, values []float32) error {
		for _, t := range r.Arrays {
			if lie == "forgets" && strings.HasPrefix(name, "optimiser.head") {
				continue
			}
			if t.Name == name {
				return n.SetState([]engine.Array{{Name: name, Shape: t.Tensor.Shape, Data: values}})
			}
		}
		return nil
	})
}

func (s *server) Drop(_ context.Context, r *protocol.DropRequest) (*protocol.Dropped, error) {
	n, err := s.network(r.Network)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.networks, r.Network)
	return &protocol.Dropped{}, n.Close()
}
