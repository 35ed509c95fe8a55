package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run
)

func Example() {
	dir, _ := os.MkdirTemp("", "weights")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "weights.safetensors")
	weights := []Array{Of("encoder.fc.bias", []int64{2}, []float32{1, -2})}
	if err := Write(path, weights, map[string]string{"made_by": "an example"}); err != nil {
		fmt.Println(err)
	}
	arrays, metadata, err := Read(path)
	fmt.Println(arrays[0].Name, Values[float32](arrays[0]), metadata, err)
	// Output: encoder.fc.bias [1 -2] map[made_by:an example] <nil>
}

func TestArraysComeBackAsTheyWere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.String().Filter(func(s string) bool { return s != "__metadata__" && strings.ToValidUTF8(s, "") == s }), 0, 6, rapid.ID[string]).Draw(t, "names")
		var arrays []Array
		for _, name := range names {
			shape := rapid.SliceOfN(rapid.Int64Range(0, 4), 0, 3).Draw(t, "shape")
			n, _ := values(shape)
			switch rapid.IntRange(0, 3).Draw(t, "type") {
			case 0:
				arrays = append(arrays, Of(name, shape, rapid.SliceOfN(rapid.Float32(), int(n), int(n)).Draw(t, "data")))
			case 1:
				arrays = append(arrays, Of(name, shape, rapid.SliceOfN(rapid.Float64(), int(n), int(n)).Draw(t, "data")))
			case 2:
				arrays = append(arrays, Of(name, shape, rapid.SliceOfN(rapid.Int64(), int(n), int(n)).Draw(t, "data")))
			case 3:
				arrays = append(arrays, Of(name, shape, rapid.SliceOfN(rapid.Byte(), int(n), int(n)).Draw(t, "data")))
			}
		}
		if err := Write(path, arrays, nil); err != nil {
			t.Fatal(err)
		}
		back, _, err := Read(path)
		if err != nil || len(back) != len(arrays) {
			t.Fatalf("%d of %d arrays came back: %v", len(back), len(arrays), err)
		}
		for _, a := range arrays {
			for _, b := range back {
				if a.Name == b.Name && fmt.Sprint(a.DType, a.Shape, a.Data) != fmt.Sprint(b.DType, b.Shape, b.Data) {
					t.Fatalf("%v became %v", a, b)
				}
			}
		}
	})
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if len(left) != 0 {
		t.Fatalf("temporary files were left: %v", left)
	}
}

func TestUnwritableFolderIsSaid(t *testing.T) {
	err := Write(filepath.Join(t.TempDir(), "none", "w.safetensors"), nil, nil)
	if err == nil || fault.KindOf(err) != fault.Resource {
		t.Fatalf("got %v", err)
	}
}

func file(header string, body int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, body)...)
}

func TestDamagedFilesAreRefused(t *testing.T) {
	for say, b := range map[string][]byte{
		"too few for a header":          {1, 2},
		"its header claims":             binary.LittleEndian.AppendUint64(nil, 1<<62),
		"not JSON":                      file("{]", 0),
		"F32, F64, I64 and U8 are read": file(`{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, 4),
		"is impossible":                 file(`{"a":{"dtype":"F32","shape":[9000000000000000000,4],"data_offsets":[0,4]}}`, 4),
		"claims the bytes [0 16]":       file(`{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, 8),
		"claims the bytes [-8 8]":       file(`{"a":{"dtype":"F32","shape":[4],"data_offsets":[-8,8]}}`, 8),
		"starts at byte 0":              file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4),
		"4 bytes follow":                file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 8),
		"its metadata are not string":   file(`{"__metadata__":{"a":1}}`, 0),
	} {
		if _, _, err := readArrays(bytes.NewReader(b), int64(len(b))); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("want %q, got %v", say, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"__metadata__":{"x":"y"}}`, 8))
	f.Add(file(`{}`, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		arrays, metadata, err := readArrays(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "w")
		if err := Write(path, arrays, metadata); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, again, err := Read(path)
		if err != nil || len(back) != len(arrays) || len(metadata) > 0 && !reflect.DeepEqual(metadata, again) {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
