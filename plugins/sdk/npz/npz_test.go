package npz

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
)

func array(t *testing.T, file, name string) (*Array, error) {
	t.Helper()
	f, err := Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	a, err := f.Array(name)
	if err == nil {
		t.Cleanup(func() { a.Close() })
	}
	return a, err
}

// Every type of numbers is what NumPy saved.
func TestNumbers(t *testing.T) {
	want := []float64{1, 2, 3, 250, 0, 7}
	for _, name := range []string{"u1", "<u2", ">u2", "<u4", "<u8", "<i2", ">i4", "<i8", "<f4", ">f8", "?", "i1"} {
		a, err := array(t, "arrays.npz", name)
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := a.Floats(1 << 20)
		expected := want
		switch name {
		case "?":
			expected = []float64{1, 1, 1, 1, 0, 1}
		case "i1":
			expected = []float64{-1, 0, 1, 127, -2, 5}
		}
		if err != nil || !reflect.DeepEqual(got, expected) || !reflect.DeepEqual(a.Shape, []int{2, 3}) {
			t.Errorf("%s: %v %v %v", name, a.Shape, got, err)
		}
	}
	if a, err := array(t, "arrays.npz", "scalar"); err != nil || len(a.Shape) != 0 || a.Len() != 1 {
		t.Errorf("%+v %v", a, err)
	}
	if a, err := array(t, "arrays.npz", "none"); err != nil || a.Len() != 0 {
		t.Errorf("%+v %v", a, err)
	}
}

func TestTextsAndTables(t *testing.T) {
	for name, want := range map[string][]string{"texts": {"g", "größe", ""}, "letters": {"ab", "c"}} {
		a, err := array(t, "arrays.npz", name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.Texts(1 << 20); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q %v", got, err)
		}
	}
	a, err := array(t, "arrays.npz", "table")
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Table(1<<20, "n", "x", "ok")
	if want := [][]float64{{7, -9}, {1.5, -2.25}, {1, 0}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v", got, err)
	}
	for _, c := range []struct{ column, says string }{{"y", "its columns are x, n, kind, pair, ok"}, {"pair", "holds arrays"}, {"kind", "type U6, not numbers"}} {
		a, _ := array(t, "arrays.npz", "table")
		if _, err := a.Table(1<<20, c.column); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.column, err)
		}
	}
	if a, err = array(t, "arrays.npz", "emptytable"); err != nil {
		t.Fatal(err)
	}
	if got, err := a.Table(1<<20, "ok"); err != nil || len(got[0]) != 0 {
		t.Errorf("%v %v", got, err)
	}
}

// What cannot be read is refused with words.
func TestRefusals(t *testing.T) {
	for name, says := range map[string]string{"half": "type f2, not numbers", "complex": `unknown type "<c16"`, "time": "unknown type", "fortran": "Fortran's order", "nothing": `there is no array "nothing", only`, "texts": "not numbers", "table": "name a column"} {
		a, err := array(t, "arrays.npz", name)
		if err == nil {
			_, err = a.Floats(1 << 20)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := array(t, "objects.npz", "objects"); err == nil || !strings.Contains(err.Error(), "Python objects") {
		t.Errorf("%v", err)
	}
	a, err := array(t, "arrays.npz", ">f8")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Floats(47); err == nil || !strings.Contains(err.Error(), "48 bytes") {
		t.Errorf("%v", err)
	}
	header := func(descr, shape string) []byte {
		h := "{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + "}"
		return append([]byte{0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, byte(len(h)), 0}, h...)
	}
	for text, says := range map[string]string{
		"": "no .npy file", "\x93NUMPY\x07\x00": "version 7", "\x93NUMPY\x01\x00\xff\x00{": "cut short", "\x93NUMPY\x02\x00\xff\xff\xff\xff": "4294967295 bytes",
		string(header("'<f4'", "(1000000, 10000000)")):                 "more than 1024 GB",
		string(header("'<f4'", "(-1,)")):                               "a shape that is none",
		string(header("[('a', '<f8', (99999999, 99999999))]", "(1,)")): "a shape that is none",
		string(header("'<f4' 'x'", "(1,)")):                            "cannot be read",
	} {
		if _, err := NewArray(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
	// A header that promises more than there is takes no memory.
	if a, err = NewArray(bytes.NewReader(header("'<f8'", "(100000000,)"))); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Floats(1 << 40); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("%v", err)
	}
}

// No bytes make the reader fail otherwise than with an error.
func FuzzArray(f *testing.F) {
	file, err := Open("testdata/arrays.npz")
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	for _, e := range file.zip.File {
		r, err := e.Open()
		if err != nil {
			f.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(r); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, read := range []func(a *Array) (int, error){
			func(a *Array) (int, error) { v, err := a.Floats(1 << 16); return len(v), err },
			func(a *Array) (int, error) { v, err := a.Texts(1 << 16); return len(v), err },
			func(a *Array) (int, error) {
				var names []string
				for _, c := range a.Type.Columns {
					names = append(names, c.Name)
				}
				v, err := a.Table(1<<16, names...)
				if err != nil || len(v) == 0 {
					return a.Len(), err
				}
				return len(v[0]), err
			},
		} {
			a, err := NewArray(bytes.NewReader(text))
			if err != nil {
				return
			}
			if n, err := read(a); err == nil && n != a.Len() {
				t.Fatalf("%d values of %v", n, a.Shape)
			}
		}
	})
}

func FuzzArchive(f *testing.F) {
	text, err := os.ReadFile("testdata/arrays.npz")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := New(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		for _, name := range file.Names() {
			if a, err := file.Array(name); err == nil {
				a.Floats(1 << 16)
				a.Close()
			}
		}
	})
}
