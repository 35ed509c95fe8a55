// Liar is a plugin that is not made with the SDK and answers with tensors that are not where they should be. Its first
// argument says which lie.
package main

import (
	"context"
	"os"
	"strconv"

	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

type liar struct {
	plugin.NetRPCUnsupportedPlugin
	protocol.UnimplementedPluginServer
	protocol.UnimplementedDatasetServer
	lie string
}

func main() {
	fd, err := strconv.Atoi(os.Getenv(protocol.ChannelEnv))
	if err != nil {
		os.Exit(1)
	}
	if _, err := protocol.ReceiveArenas(fd, func() { os.Exit(0) }); err != nil {
		os.Exit(1)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{ProtocolVersion: protocol.API, MagicCookieKey: protocol.CookieName, MagicCookieValue: protocol.CookieValue},
		Plugins:         plugin.PluginSet{"asterism": &liar{lie: os.Args[1]}},
		GRPCServer:      plugin.DefaultGRPCServer,
	})
}

func (l *liar) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	protocol.RegisterPluginServer(g, l)
	protocol.RegisterDatasetServer(g, l)
	return nil
}

func (*liar) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func (l *liar) Describe(context.Context, *protocol.DescribeRequest) (*protocol.Description, error) {
	return &protocol.Description{Name: "liar", Version: "1.0.0", Api: protocol.API, Components: []*protocol.ComponentInfo{
		{Name: "data", Kind: protocol.Kind_DATASET, Revision: 1, Schema: "#Config: {}"},
		{Name: "task", Kind: protocol.Kind_TASK, Revision: 1, Schema: "#Config: {}"}}}, nil
}

func (l *liar) Configure(context.Context, *protocol.ConfigureRequest) (*protocol.Configured, error) {
	return &protocol.Configured{}, nil
}

func (l *liar) Open(context.Context, *protocol.OpenRequest) (*protocol.Catalogue, error) {
	c := &protocol.Catalogue{Count: 10, Dtype: protocol.DType_F32, Facts: &protocol.SampleFacts{Shape: []int64{4, 4, 1}}}
	if l.lie == "catalogue" {
		c.Facts.Shape = []int64{1 << 40, 1 << 40}
	}
	return c, nil
}

func (l *liar) Read(_ context.Context, r *protocol.ReadRequest) (*protocol.Records, error) {
	t := &protocol.Tensor{Arena: r.Slot.Arena, Dtype: protocol.DType_F32, Shape: []int64{4, 4, 1}}
	record := &protocol.Record{Index: r.First, Id: "a", Pixels: t}
	switch l.lie {
	case "beyond":
		t.Offset = r.Slot.Size / protocol.Align * protocol.Align
	case "far":
		t.Offset = 1<<64 - 64
	case "unaligned":
		t.Offset = 4
	case "huge":
		t.Shape = []int64{1 << 31, 1 << 31, 1 << 31}
	case "negative":
		t.Shape = []int64{-4, 4, 1}
	case "arena":
		t.Arena += 7
	case "type":
		t.Dtype = protocol.DType_U8
	case "missing":
		record.Pixels = nil
	case "order":
		record.Index += 3
	case "many":
		records := &protocol.Records{}
		for i := range r.Count + 5 {
			records.Records = append(records.Records, &protocol.Record{Index: r.First + i, Id: "a", Pixels: t})
		}
		return records, nil
	case "never":
		return &protocol.Records{}, nil
	}
	return &protocol.Records{Records: []*protocol.Record{record}}, nil
}
