package export

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// message is a message of ONNX in the making, in the wire format of protocol buffers. The numbers of fields are those of
// onnx.proto; a few messages with a few fields each are all that a graph needs, so that no code is generated for them.
type message []byte

func (m *message) number(field protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) float(field protowire.Number, v float32) {
	*m = protowire.AppendFixed32(protowire.AppendTag(*m, field, protowire.Fixed32Type), math.Float32bits(v))
}

func (m *message) text(field protowire.Number, s string) {
	*m = protowire.AppendString(protowire.AppendTag(*m, field, protowire.BytesType), s)
}

func (m *message) bytes(field protowire.Number, b []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), b)
}

// attribute is an AttributeProto: name 1, f 2, i 3, ints 8, type 20.
func attribute(name string, value any) message {
	var m message
	m.text(1, name)
	switch v := value.(type) {
	case float64:
		m.float(2, float32(v))
		m.number(20, 1)
	case int:
		m.number(3, int64(v))
		m.number(20, 2)
	case []int64:
		for _, i := range v {
			m.number(8, i)
		}
		m.number(20, 7)
	}
	return m
}

// The types of a TensorProto's values.
const (
	typeFloat = 1
	typeInt64 = 7
)

// tensor is a TensorProto: dims 1, data_type 2, name 8, raw_data 9.
func tensor(name string, kind int64, shape []int64, values []byte) message {
	m := make(message, 0, len(values)+len(name)+12*len(shape)+32)
	for _, d := range shape {
		m.number(1, d)
	}
	m.number(2, kind)
	m.text(8, name)
	m.bytes(9, values)
	return m
}

// node is a NodeProto: input 1, output 2, name 3, op_type 4, attribute 5.
func node(op, name string, inputs []string, output string, attributes []message) message {
	var m message
	for _, in := range inputs {
		m.text(1, in)
	}
	m.text(2, output)
	m.text(3, name)
	m.text(4, op)
	for _, a := range attributes {
		m.bytes(5, a)
	}
	return m
}

// value is a ValueInfoProto (name 1, type 2) of a float tensor, in a TypeProto (tensor_type 1: elem_type 1, shape 2) whose
// first dimension (dim_value 1, dim_param 2) is the batch.
func value(name string, shape []int64) message {
	var batch, dims, kind, info, m message
	batch.text(2, "batch")
	dims.bytes(1, batch)
	for _, d := range shape {
		var dim message
		dim.number(1, d)
		dims.bytes(1, dim)
	}
	kind.number(1, typeFloat)
	kind.bytes(2, dims)
	info.bytes(1, kind)
	m.text(1, name)
	m.bytes(2, info)
	return m
}

// pair is a StringStringEntryProto: key 1, value 2.
func pair(key, value string) message {
	var m message
	m.text(1, key)
	m.text(2, value)
	return m
}
