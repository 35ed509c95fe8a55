package experiment

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	_ "github.com/asterism-ssl/asterism/core/seeded" // the same examples in every run

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// example gives a file of a script in testdata.
func example(tb testing.TB, script, name string) []byte {
	tb.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", script+".txtar"))
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	tb.Fatalf("%s has no %s", script, name)
	return nil
}

// written puts text into a file of its own.
func writtenTo(tb testing.TB, text []byte) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "x.cue")
	if err := os.WriteFile(file, text, 0o666); err != nil {
		tb.Fatal(err)
	}
	return file
}

func TestLoad(t *testing.T) {
	file := writtenTo(t, example(t, "design", "efigi.cue"))
	e, err := Load(file, Options{Schemas: fakes, Tags: []string{"root=/d"}})
	if err != nil {
		t.Fatal(err)
	}
	if e.Name != "efigi" || e.Seed != 7 || e.File != file {
		t.Errorf("got name %q, seed %d, file %q", e.Name, e.Seed, e.File)
	}
	if len(e.Data.Sources) != 2 || e.Data.Sources[0].Name != "images.folder" || e.Data.Sources[0].Plugin != "images" || e.Data.Sources[0].Local != "folder" {
		t.Errorf("got sources %+v", e.Data.Sources)
	}
	if got, want := string(e.Data.Sources[1].Config), `{"columns":[],"id":"id","root":"/d/sdss_stripe82_jpg/images"}`; got != want {
		t.Errorf("second source: got %s, want %s", got, want)
	}
	if len(e.Data.Frame.Size) != 1 || e.Data.Frame.Size[0] != 88 || e.Data.Frame.Bands != nil {
		t.Errorf("got frame %+v", e.Data.Frame)
	}
	if e.Data.Split != (Split{Valid: 0.1, Test: 0.2, By: "id"}) {
		t.Errorf("got split %+v", e.Data.Split)
	}
	if len(e.Views["train"]) != 3 || len(e.Views["eval"]) != 1 || e.Views["train"][1].Path != "views.train.1" || e.Views["train"][1].Where != file+":16:32" {
		t.Errorf("got views %+v", e.Views)
	}
	if e.Encoder.Name != "resnet.r18" || string(e.Encoder.Config) != `{"stem":"imagenet","width":1}` {
		t.Errorf("got encoder %+v", e.Encoder)
	}
	tr := e.Train
	if tr.Objective.Name != "contrast.moco" || tr.Epochs != 50 || tr.Batch != 128 || tr.Optimizer != (Optimizer{0.06, 0.9, 5e-4}) || tr.Schedule != (Schedule{"cosine", 2}) || tr.Precision != "float32" || tr.CheckpointMinutes != 5 {
		t.Errorf("got train %+v", tr)
	}
	if len(e.Tasks) != 2 || e.Tasks[0].Name != "morphology" || e.Tasks[0].Component.Name != "classify.linear" || e.Tasks[0].Draws != 5 || strings.Join(e.Tasks[0].Labels, " ") != "50 500 all" || strings.Join(e.Tasks[1].Against, " ") != "untrained constant" {
		t.Errorf("got tasks %+v", e.Tasks)
	}
}

// Equal experiments have equal bytes, however they are written; different ones have not.
func TestResolvedIsCanonical(t *testing.T) {
	text := string(example(t, "set", "x.cue"))
	load := func(text string, sets ...string) string {
		t.Helper()
		e, err := Load(writtenTo(t, []byte(text)), Options{Schemas: fakes, Sets: sets})
		if err != nil {
			t.Fatal(err)
		}
		return string(e.Resolved)
	}
	want := load(text)
	for _, same := range [][2]string{
		{"lr: 0.06", "lr: 6e-2"}, {"sgd: lr: 0.06", "sgd: {lr: 0.060, momentum: 0.9}"}, {"max: 90", "max: 90.0"}, {"epochs: 50", "epochs: 5*10"}, {"batch:  128", ""}, {"epochs: 50", "epochs: 0x32"},
		{"tasks: morph", "seed: 0\n\ttasks: morph"}, {"train: {\n", "train: schedule: cosine: {}\n\ttrain: {\n"},
	} {
		if !strings.Contains(text, same[0]) {
			t.Fatalf("no %q in the example", same[0])
		}
		if got := load(strings.Replace(text, same[0], same[1], 1)); got != want {
			t.Errorf("%q for %q:\n got %s\nwant %s", same[1], same[0], got, want)
		}
	}
	if got := load(text, "seed=1"); got == want {
		t.Error("another seed gives the same bytes")
	}
	if load(text, "seed=9007199254740991") == load(text, "seed=9007199254740990") {
		t.Error("large seeds are not told apart")
	}
}

// What is set is found again at its path, whatever the path.
func TestSetAddsTheField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringMatching(`[a-z][a-z0-9]{0,5}(\.[a-z]{1,4})?`), 1, 5).Draw(t, "names")
		var path []string
		for _, n := range names {
			if strings.Contains(n, ".") {
				n = `"` + n + `"`
			}
			path = append(path, n)
		}
		f, err := parser.ParseFile("x.cue", "a: {b: {}, c: 1}\nd: 2\n")
		if err != nil {
			t.Fatal(err)
		}
		arg := strings.Join(path, ".") + "=7"
		steps, value, err := splitSet(arg)
		if err != nil || value != "7" || len(steps) != len(names) {
			t.Fatalf("splitSet(%q) = %v, %q, %v", arg, steps, value, err)
		}
		var l faults
		set(f, arg, &l)
		if len(l) > 0 {
			t.Fatalf("%q: %v", arg, fault.List(l))
		}
		// Set again: now the field is there, and only its value changes.
		again := edit{at: "again", value: ast.NewString("other")}
		if n := again.replaceIn(&f.Decls, steps); n != 1 {
			t.Fatalf("after %q the field is there %d times", arg, n)
		}
	})
}

func FuzzSet(f *testing.F) {
	for _, s := range []string{"a=1", "train.epochs=3", `views.train[0]."sky.rotate".max=4`, "a", "=", "a[=", `a."`, `a."\`, "a[1].b.c=[1, x, {y: z}]", "a=((((", "_root=/x", "a.0.b=", "views.train[-1]=2", "#x=3", `"name"=y`} {
		f.Add(s)
	}
	src := example(f, "set", "x.cue")
	f.Fuzz(func(t *testing.T, arg string) {
		file, err := parser.ParseFile("x.cue", src)
		if err != nil {
			t.Fatal(err)
		}
		var l faults
		set(file, arg, &l)
	})
}

func FuzzLoad(f *testing.F) {
	scripts, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(scripts) == 0 {
		f.Fatal("no scripts", err)
	}
	for _, s := range scripts {
		a, err := txtar.ParseFile(s)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			if strings.HasSuffix(file.Name, ".cue") {
				f.Add(file.Data)
			}
		}
	}
	f.Add([]byte("x: y\ny: x\n"))
	f.Add([]byte("name: name\n#a: {b: #a}\ndata: #a\n"))
	f.Add([]byte("\xff\xfe"))
	f.Add([]byte("seed: 1e9999999999999\n"))
	f.Add([]byte("seed: 1 << 1000000000\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(dir, "x.cue")
		if err := os.WriteFile(file, text, 0o666); err != nil {
			t.Fatal(err)
		}
		hung := time.AfterFunc(20*time.Second, func() { panic(fmt.Sprintf("hangs on %q", text)) })
		defer hung.Stop()
		_, err := Load(file, Options{Schemas: fakes})
		if err == nil {
			return
		}
		for _, e := range fault.All(err) {
			if e.Kind != fault.Config || e.What == "" || e.Where == "" {
				t.Fatalf("a fault that says too little: %+v", e)
			}
			for _, word := range []string{"conflicting", "disjunction", "#Experiment", "_|_", "asterism experiment.cue", "conjunct"} {
				if strings.Contains(e.What, word) && !strings.Contains(string(text), word[1:]) {
					t.Fatalf("%q reaches the user: %v", word, e)
				}
			}
			if e.What == "this file cannot be evaluated" {
				t.Fatalf("panic: %v", e.Err)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	file := writtenTo(b, example(b, "design", "efigi.cue"))
	for b.Loop() {
		if _, err := Load(file, Options{Schemas: fakes}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadWrong(b *testing.B) {
	file := writtenTo(b, example(b, "several", "x.cue"))
	for b.Loop() {
		if _, err := Load(file, Options{Schemas: fakes}); err == nil {
			b.Fatal("no fault")
		}
	}
}

// A component named on the command line is checked in the same words, and completed.
func TestConfigure(t *testing.T) {
	c, err := Configure(fakes, protocol.Kind_ENCODER, "resnet.r18", "{}")
	if err != nil || c.Plugin != "resnet" || c.Local != "r18" || len(c.Config) < 2 {
		t.Fatalf("%+v, %v", c, err)
	}
	for _, bad := range []struct {
		kind              protocol.Kind
		name, text, wants string
	}{
		{protocol.Kind_ENCODER, "resnet18", "{}", `no installed plugin has a component "resnet18"`},
		{protocol.Kind_OBJECTIVE, "resnet.r18", "{}", "is an encoder"},
		{protocol.Kind_ENCODER, "resnet.r18", "{cuont: 1}", "there is no such field"},
		{protocol.Kind_ENCODER, "resnet.r18", "{", "cannot be read"},
	} {
		_, err := Configure(fakes, bad.kind, bad.name, bad.text)
		if err == nil || !strings.Contains(err.Error(), bad.wants) || fault.KindOf(err) != fault.Config {
			t.Errorf("%s %s: %v", bad.name, bad.text, err)
		}
	}
}
