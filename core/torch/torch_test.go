package torch

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
)

func Example() {
	f, err := Open("testdata/twins.pth")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	for _, t := range f.Tensors {
		if strings.HasPrefix(t.Name, "state_dict.module.encoder_q.") {
			fmt.Println(t.Name, t.DType, t.Shape)
		}
	}
	// Output:
	// state_dict.module.encoder_q.bn1.bias float32 [3]
	// state_dict.module.encoder_q.bn1.num_batches_tracked int64 []
	// state_dict.module.encoder_q.bn1.running_mean float32 [3]
	// state_dict.module.encoder_q.bn1.running_var float32 [3]
	// state_dict.module.encoder_q.bn1.weight float32 [3]
	// state_dict.module.encoder_q.conv1.weight float32 [3 2 2 2]
}

// Every tensor that PyTorch wrote is there, in each of its formats, with its type, shape and values.
func TestTensorsAreThoseThatPyTorchWrote(t *testing.T) {
	var golden map[string]map[string]struct {
		DType  string
		Shape  []int64
		Values []string
	}
	b, err := os.ReadFile("testdata/golden.json")
	if err == nil {
		err = json.Unmarshal(b, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	for content, tensors := range golden {
		for _, ending := range []string{".pth", ".legacy.pth", ".protocol4.pth"} {
			name := content + ending
			f, err := Open(filepath.Join("testdata", name))
			if err != nil {
				t.Error(err)
				continue
			}
			defer f.Close()
			if len(f.Tensors) != len(tensors) {
				t.Errorf("%s has %d tensors, not %d", name, len(f.Tensors), len(tensors))
			}
			for _, got := range f.Tensors {
				want, ok := tensors[got.Name]
				if !ok || got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) {
					t.Errorf("%s: %s is %s %v, PyTorch has %s %v", name, got.Name, got.DType, got.Shape, want.DType, want.Shape)
					continue
				}
				values, err := got.Float32()
				if strings.Contains(want.DType, "int") || want.DType == "bool" || got.Name == "model.expanded" {
					if err == nil {
						t.Errorf("%s: %s of %s was read as numbers", name, got.Name, got.DType)
					}
					continue
				}
				if err != nil || len(values) != len(want.Values) {
					t.Errorf("%s: %s has %d values, not %d: %v", name, got.Name, len(values), len(want.Values), err)
					continue
				}
				for i, v := range values {
					if w, err := strconv.ParseFloat(want.Values[i], 64); err != nil || math.Float32bits(v) != math.Float32bits(float32(w)) {
						t.Errorf("%s: value %d of %s is %v, PyTorch's is %s", name, i, got.Name, v, want.Values[i])
					}
				}
			}
		}
	}
}

// Code in a pickle is neither run nor passed over.
func TestForeignCodeIsRefusedByName(t *testing.T) {
	for file, names := range map[string]string{"foreign.pth": "posix.system", "foreign.legacy.pth": "posix.system", "module.pth": "torch.nn.modules.linear.Linear"} {
		_, err := Open(filepath.Join("testdata", file))
		if err == nil || fault.KindOf(err) != fault.Data || !strings.Contains(err.Error(), "a pickle with foreign code: it names "+names) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// A damaged file, or one that describes what is not in it, is refused with the reason.
func TestDamagedFilesAreRefused(t *testing.T) {
	if _, err := Open("testdata/none.pth"); err == nil || fault.All(err)[0].Do != "check the path" {
		t.Errorf("a file that is not there: %v", err)
	}
	zip, err := os.ReadFile("testdata/twins.pth")
	if err != nil {
		t.Fatal(err)
	}
	legacy, err := os.ReadFile("testdata/twins.legacy.pth")
	if err != nil {
		t.Fatal(err)
	}
	tar := make([]byte, 1024)
	copy(tar[257:], "ustar")
	begin := magic + "\x80\x02M\xe9\x03.\x80\x02}." // the protocol, and no facts about the machine
	say := func(file []byte, want string) {
		t.Helper()
		if _, err := read(bytes.NewReader(file), int64(len(file))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	say(nil, "does not begin as PyTorch's files do")
	say(tar, "a tar, as PyTorch wrote before version 0.2")
	say([]byte("\x80\x02}q\x00."), "does not begin as PyTorch's files do")
	say(zip[:len(zip)/2], "zip")
	say(bytes.Replace(zip, []byte("cos"), []byte("sin"), 1), "checksum")
	say(legacy[:len(legacy)-1], "has not the")
	say(legacy[:len(legacy)/4], "ends too early")
	say([]byte(begin+"\x80\x02X\xff\xff\xff\x7f"), "ends too early")
	say([]byte(begin+"\x80\x021."), "step 0x31")
	say([]byte(begin+"\x80\x02R."), "more from the stack")
	say([]byte(begin+"\x80\x02(R."), "more from the stack")
	say([]byte(begin+"\x80\x02Nh\x05."), "not kept")
	say([]byte(begin+"\x80\x07N."), "protocol 7")
	say([]byte(begin+"\x80\x02]q\x00h\x00a.\x80\x02]."), "nested deeper")                                          // a list of itself
	say([]byte(begin+"\x80\x02}"+strings.Repeat("q\x00}(U\x01ah\x00U\x01bh\x00u", 31)+".\x80\x02]."), "more than") // two ways at each of many steps
	if _, err := read(bytes.NewReader([]byte(begin+"\x80\x02}.\x80\x02].")), int64(len(begin)+10)); err != nil {
		t.Errorf("a file without tensors: %v", err)
	}
	tensor := func(count, offset, size, stride int64) []byte {
		number := func(n int64) string { return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n))) }
		pickle := "\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x01kU\x03cpu" + number(count) + "NtQ" + number(offset) + number(size) + "\x85" + number(stride) + "\x85\x89}tR."
		values := binary.LittleEndian.AppendUint64([]byte("\x80\x02](U\x01ke."), uint64(count))
		return slices.Concat([]byte(begin+pickle), values, make([]byte, 8))
	}
	file := tensor(2, 0, 2, 1)
	if f, err := read(bytes.NewReader(file), int64(len(file))); err != nil || len(f.Tensors) != 1 {
		t.Errorf("a tensor of two values: %v", err)
	}
	say(tensor(2, 1, 2, 1), "reaches beyond its 2 values")
	say(tensor(2, 0, 2, 1<<62), "reaches beyond its 2 values")
	say(tensor(2, 2, 1, 0), "reaches beyond its 2 values")
	say(tensor(2, -1, 1, 1), "impossible shape")
	say(tensor(2, 0, 1, -1), "impossible shape")
	say(tensor(-1, 0, 0, 1), "unknown way")
	say(tensor(3, 0, 1, 1), "has not the 3 values")
	say(tensor(1<<40, 0, 1, 1), "has not the 1099511627776 values")
}

// Whatever the bytes are, reading ends with tensors or an error.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.pth")
	if err != nil || len(files) == 0 {
		f.Fatal("no files to begin with", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, tensor := range file.Tensors {
			if values, err := tensor.Float32(); err == nil && len(values) > len(b) {
				t.Fatalf("%d values from %d bytes", len(values), len(b))
			}
		}
	})
}
