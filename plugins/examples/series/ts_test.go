package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/plugins/sdk"
	"github.com/asterism-ssl/asterism/plugins/sdk/sdktest"
)

const motions = `# made up
@problemName Motions
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true walk rest
@data
1,2,3,4:10,20,30,40:walk
?,2,?,4,5,?:0,0,0,0,0,1:rest
?,?,?:1,2,3:walk
1,1,1:2,2,2:?
`

// write makes a file and gives its path.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, config string) (sdk.Reader, *sdk.Catalogue) {
	t.Helper()
	r := sdktest.Configure(t, plugin(), "ts", config).(sdk.Reader)
	c, err := r.Open()
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

func record(t testing.TB, r sdk.Reader, i int) (one sdk.Record) {
	t.Helper()
	if err := r.Read(i, &one); err != nil {
		t.Fatal(err)
	}
	return one
}

// A file of two dimensions, unequal lengths, gaps and a missing class.
func TestRecords(t *testing.T) {
	file := write(t, "Motions_TRAIN.ts", motions)
	r, c := open(t, fmt.Sprintf(`{files: [%q]}`, file))
	if c.Count != 4 || !slices.Equal(c.Facts.Shape, []int64{6, 2}) || !slices.Equal(c.Facts.Bands, []string{"dim1", "dim2"}) || c.Fields[0].Name != "class" || c.Fields[1].Name != "part" {
		t.Errorf("%v", c)
	}
	one := record(t, r, 0)
	if one.ID != "Motions_TRAIN-00000" || !slices.Equal(one.Shape, []int{4, 2}) || !slices.Equal(one.F32, []float32{1, 10, 2, 20, 3, 30, 4, 40}) || one.Values[0] != "walk" || one.Values[1] != "TRAIN" {
		t.Errorf("%+v", one)
	}
	if one = record(t, r, 1); !slices.Equal(one.F32, []float32{2, 0, 2, 0, 3, 0, 4, 0, 5, 0, 5, 1}) {
		t.Errorf("gaps are filled as %v", one.F32)
	}
	if one = record(t, r, 2); !strings.Contains(one.Bad, "dimension 1 has no values") {
		t.Errorf("%+v", one)
	}
	if one = record(t, r, 3); one.Bad != "" || one.Values[0] != nil {
		t.Errorf("%+v", one)
	}
	r, c = open(t, fmt.Sprintf(`{files: [%q], length: 7, bands: ["x", "y"], column: "motion"}`, file))
	if one = record(t, r, 0); c.Facts.Shape[0] != 7 || c.Facts.Bands[1] != "y" || c.Fields[0].Name != "motion" || !slices.Equal(one.F32, []float32{1, 10, 1.5, 15, 2, 20, 2.5, 25, 3, 30, 3.5, 35, 4, 40}) {
		t.Errorf("%v, %+v", c, one)
	}
}

// One file is one record when it holds one series; it is what the stream gives.
func TestReadFile(t *testing.T) {
	file := write(t, "Motions_TRAIN.ts", motions)
	r, _ := open(t, fmt.Sprintf(`{files: [%q]}`, file))
	lines := strings.Split(motions, "\n")
	alone := write(t, "one.ts", strings.Join(lines[:10], "\n"))
	var got sdk.Record
	if err := r.(sdk.FileReader).ReadFile(alone, &got); err != nil {
		t.Fatal(err)
	}
	if want := record(t, r, 0); got.ID != "one-00000" || !slices.Equal(got.F32, want.F32) || !slices.Equal(got.Shape, want.Shape) || got.Values[0] != "walk" {
		t.Errorf("%+v", got)
	}
	if err := r.(sdk.FileReader).ReadFile(file, &got); err == nil || !strings.Contains(err.Error(), "holds 4 series") {
		t.Errorf("%v", err)
	}
}

func TestTargets(t *testing.T) {
	file := write(t, "a.ts", "@targetLabel true\n@data\n1,2:0.5\n3,4:?\n5,6:much\n")
	r, c := open(t, fmt.Sprintf(`{files: [%q], column: "y"}`, file))
	if c.Fields[0].Type != sdk.Number || record(t, r, 0).Values[0] != 0.5 || record(t, r, 1).Values[0] != nil || !strings.Contains(record(t, r, 2).Bad, `"much"`) {
		t.Errorf("%v %+v", c, record(t, r, 2))
	}
}

// What is wrong is named with its line.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"stamps":      {"@timeStamps true\n@data\n(0,1),(1,2):a\n", "time stamps"},
		"hidden":      {"@timeStamps false\n@data\n(0,1),(1,2)\n", "x.ts:3: the line has time stamps"},
		"no data":     {"@univariate true\n", "no line @data"},
		"not a .ts":   {"a,b,c\n1,2,3\n", "x.ts:1: the line comes before @data"},
		"words":       {"@data\n1,two,3\n", `x.ts:2: the line has "two" where a number should be`},
		"infinite":    {"@data\n1,Inf\n", "where a number should be"},
		"large":       {"@data\n1,1e39\n", "where a number should be"},
		"dimensions":  {"@dimensions 2\n@data\n1,2\n", "1 dimensions instead of 2"},
		"ragged":      {"@dimensions 2\n@data\n1,2:1\n", "1 values in dimension 2 and 2 in the first"},
		"length":      {"@equalLength true\n@seriesLength 3\n@data\n1,2\n", "@seriesLength is 3"},
		"class":       {"@classLabel true a b\n@data\n1,2:c\n", `the class "c"; @classLabel names a, b`},
		"no class":    {"@classLabel true a b\n@data\na\n", "has no values"},
		"flag":        {"@univariate perhaps\n@data\n1\n", "neither true nor false"},
		"count":       {"@dimensions many\n@data\n1\n", "no number"},
		"both":        {"@classLabel true a\n@targetLabel true\n@data\n1:a\n", "a class and a target"},
		"only header": {"@data\n", "no series after @data"},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, "x.ts", c.text)
			r, err := sdktest.Build(plugin(), "ts", fmt.Sprintf(`{files: [%q]}`, file))
			if err != nil {
				t.Fatal(err)
			}
			var data sdk.DataError
			if _, err = r.(sdk.Reader).Open(); !errors.As(err, &data) || !strings.Contains(err.Error(), c.says) || data.Advice == "" {
				t.Errorf("%v", err)
			}
		})
	}
	one, two := write(t, "one.ts", "@data\n1,2\n"), write(t, "two.ts", "@data\n1,2:3,4\n")
	for config, says := range map[string]string{
		fmt.Sprintf(`{files: [%q, %q]}`, one, two):           "has 2 dimensions and",
		fmt.Sprintf(`{files: [%q], bands: ["a", "b"]}`, one): "2 bands are named",
		`{files: ["nowhere.ts"]}`:                            "nowhere.ts is not there",
		`{files: []}`:                                        "files",
		fmt.Sprintf(`{files: [%q], bands: ["a", "a"]}`, one): "twice",
	} {
		r, err := sdktest.Build(plugin(), "ts", config)
		if err == nil {
			_, err = r.(sdk.Reader).Open()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", config, err)
		}
	}
}

// No text makes the parser fail otherwise than with an error, and what it takes can be made records of.
func FuzzParse(f *testing.F) {
	f.Add([]byte(motions))
	f.Add([]byte("@targetLabel true\n@data\n1,2:0.5\n"))
	f.Add([]byte("@timestamps true\n@data\n(0,1):x\n"))
	f.Add([]byte("@classLabel true\n@seriesLength 2\n@equalLength true\n@data\n1,?:\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, cases, err := parse(bytes.NewReader(text))
		if err != nil {
			return
		}
		a := &archive{archiveConfig: archiveConfig{Length: 5}, dimensions: h.dimensions, labelled: h.labelled || h.target, target: h.target}
		for _, c := range cases {
			var r sdk.Record
			a.fill(entry{c, "x", "y"}, &r)
			if r.Bad != "" {
				continue
			}
			if len(r.F32) != 5*h.dimensions || slices.ContainsFunc(r.F32, func(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) }) {
				t.Fatalf("%q gives %v", text, r.F32)
			}
		}
	})
}
