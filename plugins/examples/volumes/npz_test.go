package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

func TestVolumes(t *testing.T) {
	r := sdktest.Configure(t, plugin(), "npz", `{file: "testdata/made.npz", classes: ["a", "b", "c"]}`).(sdk.Reader)
	c, err := r.Open()
	if err != nil {
		t.Fatal(err)
	}
	if c.Count != 8 || !slices.Equal(c.Facts.Shape, []int64{4, 6, 4, 1}) || c.Dtype != sdk.U8 || c.Scale != 1./255 || c.Notices[0].Examples[0] != "test" {
		t.Errorf("%v", c)
	}
	var first, last, alone sdk.Record
	for i, one := range map[int]*sdk.Record{0: &first, 7: &last} {
		if err := r.Read(i, one); err != nil {
			t.Fatal(err)
		}
	}
	if first.ID != "train-00000" || first.Values[0] != "a" || first.Values[1] != "train" || last.ID != "val-00002" || last.Values[0] != "b" || last.Values[1] != "val" {
		t.Errorf("%+v %+v", first, last)
	}
	if err := r.(sdk.FileReader).ReadFile("testdata/one.npy", &alone); err != nil || !slices.Equal(alone.U8, first.U8) || !slices.Equal(alone.Shape, first.Shape) {
		t.Errorf("%v %v", err, alone.Shape)
	}
	pooled := sdktest.Configure(t, plugin(), "npz", `{file: "testdata/made.npz", pool: 2, count: 2, parts: ["val", "train"]}`).(sdk.Reader)
	if c, err = pooled.Open(); err != nil || c.Count != 4 || !slices.Equal(c.Facts.Shape, []int64{2, 3, 2, 1}) {
		t.Fatalf("%v %v", c, err)
	}
	var one sdk.Record
	if err := pooled.Read(2, &one); err != nil || one.ID != "train-00000" || one.Values[0] != "0" {
		t.Fatalf("%+v %v", one, err)
	}
	for z := range 2 {
		for y := range 3 {
			for x := range 2 {
				sum := 0
				for k := range 8 {
					sum += int(first.U8[((2*z+k/4)*6+2*y+k/2%2)*4+2*x+k%2])
				}
				if got := one.U8[(z*3+y)*2+x]; int(got) != (sum+4)/8 {
					t.Errorf("block %d, %d, %d of the sum %d is %d", z, y, x, sum, got)
				}
			}
		}
	}
}

// npy is an array of bytes as NumPy writes it.
func npy(descr, shape string, data ...byte) []byte {
	header := fmt.Sprintf("{'descr': %s, 'fortran_order': False, 'shape': %s, }\n", descr, shape)
	return append(append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8)), append([]byte(header), data...)...)
}

func archiveOf(t *testing.T, arrays map[string][]byte) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range arrays {
		w, err := z.Create(name + ".npy")
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
	}
	z.Close()
	path := filepath.Join(t.TempDir(), "x.npz")
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRefusals(t *testing.T) {
	images, labels := npy("'|u1'", "(1, 2, 2, 2)", make([]byte, 8)...), npy("'|u1'", "(1, 1)", 1)
	for name, c := range map[string]struct {
		arrays       map[string][]byte
		config, says string
	}{
		"no parts":   {map[string][]byte{"x": images}, "", "has none of train, val, test: it holds x"},
		"no labels":  {map[string][]byte{"train_images": images}, "", `there is no array "train_labels"`},
		"numbers":    {map[string][]byte{"train_images": npy("'<f4'", "(1, 2, 2, 2)"), "train_labels": labels}, "", "type f4, and only unsigned bytes"},
		"pictures":   {map[string][]byte{"train_images": npy("'|u1'", "(1, 2, 2)"), "train_labels": labels}, "", "shape [1 2 2]"},
		"many":       {map[string][]byte{"train_images": images, "train_labels": npy("'|u1'", "(1, 2)", 0, 1)}, "", "only one label for each"},
		"large":      {map[string][]byte{"train_images": npy("'|u1'", "(1, 1000, 1000, 1000)"), "train_labels": labels}, "", "volumes of the shape"},
		"lots":       {map[string][]byte{"train_images": npy("'|u1'", "(100000, 100, 100, 100)"), "train_labels": npy("'|u1'", "(100000,)", make([]byte, 100000)...)}, "", "kept in memory"},
		"pool":       {map[string][]byte{"train_images": images, "train_labels": labels}, "pool: 3", "cannot be divided into blocks of 3"},
		"bands":      {map[string][]byte{"train_images": images, "train_labels": labels}, `bands: ["a", "b"]`, "2 bands are named"},
		"classes":    {map[string][]byte{"train_images": images, "train_labels": labels}, `classes: ["a"]`, "has the label 1"},
		"shapes":     {map[string][]byte{"train_images": images, "train_labels": labels, "val_images": npy("'|u1'", "(1, 2, 2, 3)"), "val_labels": labels}, "", "have the shape [2 2 3 1], those of train"},
		"cut short":  {map[string][]byte{"train_images": npy("'|u1'", "(1, 2, 2, 2)", 1, 2), "train_labels": labels}, "", "volume 0: it is cut short"},
		"no archive": {nil, "", "not a valid zip file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := archiveOf(t, c.arrays)
			if c.arrays == nil {
				os.WriteFile(path, []byte("none"), 0o666)
			}
			r := sdktest.Configure(t, plugin(), "npz", fmt.Sprintf("{file: %q, %s}", path, c.config)).(sdk.Reader)
			_, err := r.Open()
			if err == nil {
				err = r.Read(0, &sdk.Record{})
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
	r := sdktest.Configure(t, plugin(), "npz", `{file: "testdata/made.npz"}`).(sdk.Reader)
	if _, err := r.Open(); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{"nowhere.npy": "nowhere.npy", "testdata/made.npz": "no .npy file"} {
		if err := r.(sdk.FileReader).ReadFile(path, &sdk.Record{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v", err)
		}
	}
}
