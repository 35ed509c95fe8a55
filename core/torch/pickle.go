package torch

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// What a pickle makes, beside nil, bool, int64, float64 and string.
type (
	tuple []any
	list  struct{ items []any }
	dict  struct{ entries []entry }
	entry struct{ key, value any }
	// global is a function or class that a pickle names.
	global struct{ module, name string }
	// inert is a value that no weight needs; nothing is kept of it.
	inert struct{}
	// mark is a place on the stack.
	mark struct{}
)

func (d *dict) get(key string) any {
	for _, e := range d.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// put adds keys and values in turn.
func (d *dict) put(pairs []any) error {
	if len(pairs)%2 != 0 {
		return errors.New("its pickle has a key without a value")
	}
	for i := 0; i < len(pairs); i += 2 {
		d.entries = append(d.entries, entry{pairs[i], pairs[i+1]})
	}
	return nil
}

// foreignError is a name in a pickle that is not known here.
type foreignError struct{ name string }

func (e foreignError) Error() string {
	return fmt.Sprintf("it is a pickle with foreign code: it names %s, which no file of weights needs", e.name)
}

// calls are the functions and classes that a pickle may call, and what becomes of a call.
var calls = map[global]func(args tuple) (any, error){
	{"collections", "OrderedDict"}:                    ordered,
	{"torch._utils", "_rebuild_tensor"}:               func(args tuple) (any, error) { return rebuild(args) },
	{"torch._utils", "_rebuild_tensor_v2"}:            func(args tuple) (any, error) { return rebuild(args) },
	{"torch._utils", "_rebuild_parameter"}:            first,
	{"torch._utils", "_rebuild_parameter_with_state"}: first,
	{"torch", "Size"}:                                 first,
	// What authors keep in a checkpoint beside weights: settings, scores, the state of a schedule.
	{"torch", "device"}:                  nothing,
	{"argparse", "Namespace"}:            nothing,
	{"collections", "Counter"}:           nothing,
	{"collections", "defaultdict"}:       nothing,
	{"numpy.core.multiarray", "scalar"}:  nothing,
	{"numpy._core.multiarray", "scalar"}: nothing,
	{"numpy", "dtype"}:                   nothing,
	{"_codecs", "encode"}:                nothing,
	{"__builtin__", "dict"}:              nothing, // the argument of defaultdict
	{"builtins", "dict"}:                 nothing,
}

func nothing(tuple) (any, error) { return inert{}, nil }

func first(args tuple) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("its pickle calls without arguments what needs some")
	}
	return args[0], nil
}

// ordered makes a dictionary of nothing, or of a list of pairs.
func ordered(args tuple) (any, error) {
	d := new(dict)
	if len(args) == 0 {
		return d, nil
	}
	l, _ := args[0].(*list)
	if l == nil {
		return nil, errors.New("its pickle has an OrderedDict of something other than pairs")
	}
	for _, item := range l.items {
		pair, _ := item.(tuple)
		if p, ok := item.(*list); ok {
			pair = p.items
		}
		if len(pair) != 2 {
			return nil, errors.New("its pickle has an OrderedDict of something other than pairs")
		}
		d.entries = append(d.entries, entry{pair[0], pair[1]})
	}
	return d, nil
}

// known refuses names that are neither calls nor classes of storages.
func (g global) known() error {
	_, ok := calls[g]
	if (g.module == "torch" || g.module == "torch.cuda") && kinds[g.name] != "" {
		ok = true
	}
	if !ok {
		return foreignError{g.module + "." + g.name}
	}
	return nil
}

// input is what a pickle is read from: it never gives more bytes than there are.
type input struct {
	r              *bufio.Reader
	consumed, size int64
}

func newInput(r io.Reader, size int64) *input { return &input{r: bufio.NewReader(r), size: size} }

var errShort = errors.New("its pickle ends too early")

func (in *input) byte() (byte, error) {
	b, err := in.r.ReadByte()
	if err != nil {
		return 0, errShort
	}
	in.consumed++
	return b, nil
}

func (in *input) bytes(n uint64) ([]byte, error) {
	if n > uint64(in.size-in.consumed) {
		return nil, errShort
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in.r, b); err != nil {
		return nil, errShort
	}
	in.consumed += int64(n)
	return b, nil
}

// number reads an unsigned number of n bytes, little-endian.
func (in *input) number(n uint64) (uint64, error) {
	b, err := in.bytes(n)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(append(b, make([]byte, 8-n)...)), nil
}

// text reads a string that follows its length, a number of n bytes.
func (in *input) text(n uint64) (string, error) {
	length, err := in.number(n)
	if err != nil {
		return "", err
	}
	b, err := in.bytes(length)
	return string(b), err
}

// line reads a short line.
func (in *input) line() (string, error) {
	var b strings.Builder
	for {
		c, err := in.byte()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return b.String(), nil
		}
		if b.WriteByte(c); b.Len() > 1000 {
			return "", errors.New("its pickle has a name of more than 1000 letters")
		}
	}
}

// maxSteps bounds what a pickle makes: the weights of a large network take some ten thousand steps.
const maxSteps = 1 << 22

// machine is the machine that a pickle is a program for.
type machine struct {
	*input
	stack []any
	memo  map[uint64]any
	load  func(id tuple) (*storage, error)
}

// unpickle runs one pickle. The values of tensors are found by load.
func unpickle(in *input, load func(id tuple) (*storage, error)) (any, error) {
	m := &machine{input: in, memo: map[uint64]any{}, load: load}
	for range maxSteps {
		op, err := m.byte()
		if err != nil {
			return nil, err
		}
		if op == '.' {
			return m.pop()
		}
		if err := m.step(op); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("its pickle has more than %d steps", maxSteps)
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

var errStack = errors.New("its pickle takes more from the stack than is there")

func (m *machine) top() (any, error) {
	if len(m.stack) == 0 {
		return nil, errStack
	}
	v := m.stack[len(m.stack)-1]
	if _, is := v.(mark); is {
		return nil, errStack
	}
	return v, nil
}

func (m *machine) pop() (any, error) {
	v, err := m.top()
	if err == nil {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return v, err
}

// take pops n values, the deepest first.
func (m *machine) take(n int) ([]any, error) {
	values := make([]any, n)
	for i := n - 1; i >= 0; i-- {
		var err error
		if values[i], err = m.pop(); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// sinceMark pops everything above the last mark, and the mark.
func (m *machine) sinceMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, is := m.stack[i].(mark); is {
			values := append([]any(nil), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return values, nil
		}
	}
	return nil, errStack
}

// some gives the values of one that stands alone, or of all since the mark.
func (m *machine) some(alone bool, n int) ([]any, error) {
	if alone {
		return m.take(n)
	}
	return m.sinceMark()
}

// step does one step. The letters are Python's (pickletools.py); those that no PyTorch writes for weights are left out.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := m.number(1)
		if err == nil && (v < 2 || v > 5) {
			err = fmt.Errorf("its pickle is of the protocol %d; 2 to 5 are known", v)
		}
		return err
	case 0x95: // FRAME
		_, err := m.number(8)
		return err
	case '(':
		m.push(mark{})
	case 'N':
		m.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		m.push(op == 0x88)
	case 'K', 'M', 'J': // BININT1, BININT2, BININT
		v, err := m.number(map[byte]uint64{'K': 1, 'M': 2, 'J': 4}[op])
		if err != nil {
			return err
		}
		if op == 'J' {
			v = uint64(int64(int32(v)))
		}
		m.push(int64(v))
	case 0x8a: // LONG1
		n, err := m.number(1)
		if err != nil {
			return err
		}
		b, err := m.bytes(n)
		if err != nil {
			return err
		}
		m.push(long(b))
	case 'G': // BINFLOAT
		b, err := m.bytes(8)
		if err != nil {
			return err
		}
		m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 'X', 0x8c, 'T', 'U': // BINUNICODE, SHORT_BINUNICODE; and Python 2's BINSTRING, SHORT_BINSTRING
		s, err := m.text(map[byte]uint64{'X': 4, 'T': 4, 0x8c: 1, 'U': 1}[op])
		if err != nil {
			return err
		}
		m.push(s)
	case 'B', 'C': // BINBYTES, SHORT_BINBYTES
		if _, err := m.text(map[byte]uint64{'B': 4, 'C': 1}[op]); err != nil {
			return err
		}
		m.push(inert{})
	case ')':
		m.push(tuple{})
	case 't', 0x85, 0x86, 0x87: // TUPLE, TUPLE1, TUPLE2, TUPLE3
		values, err := m.some(op != 't', int(op)-0x84)
		if err != nil {
			return err
		}
		m.push(tuple(values))
	case ']':
		m.push(new(list))
	case 'a', 'e': // APPEND, APPENDS
		values, err := m.some(op == 'a', 1)
		if err != nil {
			return err
		}
		v, err := m.top()
		if err != nil {
			return err
		}
		l, ok := v.(*list)
		if !ok {
			return errors.New("its pickle appends to what is no list")
		}
		l.items = append(l.items, values...)
	case '}':
		m.push(new(dict))
	case 's', 'u': // SETITEM, SETITEMS
		values, err := m.some(op == 's', 2)
		if err != nil {
			return err
		}
		v, err := m.top()
		if err != nil {
			return err
		}
		switch d := v.(type) {
		case *dict:
			return d.put(values)
		case inert: // the items of a defaultdict
		default:
			return errors.New("its pickle sets a key of what is no dictionary")
		}
	case 'c', 0x93: // GLOBAL, STACK_GLOBAL
		return m.name(op == 0x93)
	case 'R', 0x81: // REDUCE, NEWOBJ
		values, err := m.take(2)
		if err != nil {
			return err
		}
		g, _ := values[0].(global)
		args, ok := values[1].(tuple)
		call := calls[g]
		if call == nil || !ok {
			return errors.New("its pickle calls what cannot be called")
		}
		v, err := call(args)
		m.push(v)
		return err
	case 'b': // BUILD: attributes of a dictionary, a parameter or something inert; no weight needs them
		if _, err := m.pop(); err != nil {
			return err
		}
		_, err := m.top()
		return err
	case 'q', 'r', 0x94: // BINPUT, LONG_BINPUT, MEMOIZE
		place, err := uint64(len(m.memo)), error(nil)
		if op != 0x94 {
			place, err = m.number(map[byte]uint64{'q': 1, 'r': 4}[op])
		}
		if err != nil {
			return err
		}
		m.memo[place], err = m.top()
		return err
	case 'h', 'j': // BINGET, LONG_BINGET
		place, err := m.number(map[byte]uint64{'h': 1, 'j': 4}[op])
		if err != nil {
			return err
		}
		v, ok := m.memo[place]
		if !ok {
			return errors.New("its pickle asks for what it has not kept")
		}
		m.push(v)
	case 'Q': // BINPERSID
		id, err := m.pop()
		if err != nil {
			return err
		}
		t, _ := id.(tuple)
		s, err := m.load(t)
		m.push(s)
		return err
	default:
		return fmt.Errorf("its pickle has the step 0x%02x, which no file of weights needs", op)
	}
	return nil
}

// name pushes a function or class, if it is known.
func (m *machine) name(onStack bool) error {
	var g global
	var err error
	if onStack {
		values, e := m.take(2)
		if e != nil {
			return e
		}
		g.module, _ = values[0].(string)
		g.name, _ = values[1].(string)
	} else if g.module, err = m.line(); err == nil {
		g.name, err = m.line()
	}
	if err == nil {
		err = g.known()
	}
	m.push(g)
	return err
}

// long is a whole number of any length; what int64 cannot hold is inert.
func long(b []byte) any {
	if len(b) > 8 {
		return inert{}
	}
	var v uint64
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	if n := len(b); n > 0 && n < 8 && b[n-1]&0x80 != 0 {
		v |= math.MaxUint64 << (8 * n)
	}
	return int64(v)
}
