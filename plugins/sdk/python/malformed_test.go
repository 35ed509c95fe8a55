package python_test

import (
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// raw passes bytes on as they are, so that what is no message can be sent.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (raw) Unmarshal(b []byte, v any) error { *v.(*[]byte) = b; return nil }
func (raw) Name() string                    { return "proto" }

// fill sets fields of a message as they come: numbers at the edges of what the contract allows and beyond them, names
// that exist and others.
func fill(m protoreflect.Message, s *key.Source, depth int) {
	numbers := []uint64{0, 1, 2, 3, 4, 7, 64, 128, 4096, 1 << 31, 1<<32 - 1, 1 << 40, 1<<63 - 64, 1 << 63, 1<<64 - 64, 1<<64 - 1}
	words := []string{"", "x", "z", "noise", "twice", "kinds.noise/0", "query", "größe\x00", "mean"}
	scalar := func(f protoreflect.FieldDescriptor) protoreflect.Value {
		n := numbers[s.Intn(len(numbers))]
		if f.Name() == "instance" || f.Name() == "arena" {
			n %= 8
		}
		switch f.Kind() {
		case protoreflect.BoolKind:
			return protoreflect.ValueOfBool(n&1 == 1)
		case protoreflect.EnumKind:
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(n % 8))
		case protoreflect.Int64Kind:
			if s.Intn(2) == 0 {
				return protoreflect.ValueOfInt64(-int64(n))
			}
			return protoreflect.ValueOfInt64(int64(n))
		case protoreflect.Uint32Kind:
			return protoreflect.ValueOfUint32(uint32(n))
		case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
			return protoreflect.ValueOfUint64(n)
		case protoreflect.DoubleKind:
			return protoreflect.ValueOfFloat64(float64(int64(n)))
		case protoreflect.BytesKind:
			return protoreflect.ValueOfBytes([]byte([]string{"", "{}", "[]", "{", `{"how": "x"}`, "\xff"}[s.Intn(6)]))
		}
		return protoreflect.ValueOfString(words[s.Intn(len(words))])
	}
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if s.Intn(4) == 0 {
			continue
		}
		switch {
		case f.IsMap():
		case f.IsList():
			for range s.Intn(4) {
				if f.Kind() == protoreflect.MessageKind {
					if depth < 4 {
						fill(m.Mutable(f).List().AppendMutable().Message(), s, depth+1)
					}
				} else {
					m.Mutable(f).List().Append(scalar(f))
				}
			}
		case f.Kind() == protoreflect.MessageKind:
			if depth < 4 {
				fill(m.Mutable(f).Message(), s, depth+1)
			}
		default:
			m.Set(f, scalar(f))
		}
	}
}

// Whatever it is sent, a plugin answers, and lives on.
func TestMalformedRequests(t *testing.T) {
	h, l := host(t)
	d := must(h.Direct(background, "kinds"))
	pid := d.PID()
	for _, component := range d.Description().Components {
		must(d.Configure(background, component.Name, []byte(`{"how": ""}`)))
	}
	arena := must(protocol.NewArena(4096, protocol.PluginWrites))
	defer arena.Close()
	must(d.Share(background, arena))
	services := protocol.File_asterism_proto.Services()
	sent := 0
	for i := services.Len() - 1; i >= 0; i-- { // Plugin, with Release, last
		methods := services.Get(i).Methods()
		for j := range methods.Len() {
			m := methods.Get(j)
			method := "/" + string(services.Get(i).FullName()) + "/" + string(m.Name())
			stream := key.New(11, "test", method)
			for k := range 60 {
				s := stream.At(0, uint64(k))
				request := dynamicpb.NewMessage(m.Input())
				fill(request, s, 0)
				b, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
				if err != nil {
					t.Fatal(err)
				}
				switch k % 4 {
				case 2: // something is wrong in it
					for range 1 + len(b)/20 {
						if len(b) > 0 {
							b[s.Intn(len(b))] ^= byte(1 << s.Intn(8))
						}
					}
				case 3: // nothing is right
					b = make([]byte, s.Intn(200))
					for at := range b {
						b[at] = byte(s.Uint32())
					}
				}
				var answer []byte
				d.Conn().Invoke(background, method, &b, &answer, grpc.ForceCodec(raw{}))
				sent++
				if d.PID() != pid {
					t.Fatalf("%s, request %d: %x: the process has ended\n%s", method, k, b, l)
				}
			}
		}
	}
	if sent < 60*25 {
		t.Errorf("only %d requests were sent", sent)
	}
	if answer := must(protocol.NewPluginClient(d.Conn()).Describe(background, &protocol.DescribeRequest{})); answer.Name != "kinds" {
		t.Errorf("%v", answer)
	}
	if h.Processes()["kinds"] != pid {
		t.Error("the process is gone")
	}
}
