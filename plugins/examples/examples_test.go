// Package examples_test runs the plugins of third parties that stand in the folders here, each a module of its own: their own
// tests, the conformance kit among them, and their experiments on real data.
package examples_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// built is where asterism is built, once for all tests that need it.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "asterism-examples-")
	if err != nil {
		panic(err)
	}
	built = filepath.Join(dir, "asterism")
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var build = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("go", "build", "-o", built, "../../cmd/asterism").CombinedOutput()
})

// asterism gives the command.
func asterism(t *testing.T) string {
	t.Helper()
	if out, err := build(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return built
}

// modules are the folders with Go plugins.
func modules(t *testing.T) (names []string) {
	t.Helper()
	found, err := filepath.Glob("*/go.mod")
	if err != nil || len(found) < 3 {
		t.Fatalf("%v, %v", found, err)
	}
	for _, f := range found {
		names = append(names, filepath.Dir(f))
	}
	return names
}

// Each plugin's author's own tests pass, with the modules that asterism itself needs and no others; the conformance kit is among them
// when there is time.
func TestAuthorsTests(t *testing.T) {
	for _, name := range modules(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verbs := [][]string{{"test", "-skip", "^TestConforms$", "./..."}}
			if os.Getenv("ASTERISM_LONG") != "" { // the conformance kit takes half a minute for each, and go test vets the half already
				verbs = [][]string{{"test", "./..."}, {"vet", "./..."}}
			}
			for _, words := range verbs {
				c := exec.Command("go", words...)
				c.Dir = name
				c.Env = append(os.Environ(), "ASTERISM="+asterism(t), "ASTERISM_DATA="+root(t), "GOWORK=off", "GOPROXY=off", "GOFLAGS=-mod=readonly")
				if out, err := c.CombinedOutput(); err != nil {
					t.Fatalf("go %s in %s: %v\n%s", strings.Join(words, " "), name, err, out)
				}
			}
		})
	}
}

// root is the folder of real data, which need not be there.
func root(t *testing.T) string {
	t.Helper()
	root := os.Getenv("ASTERISM_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// data gives the folder of real data, or skips.
func data(t *testing.T) string {
	t.Helper()
	root := root(t)
	if _, err := os.Stat(root); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatalf("ASTERISM_REQUIRE is set and the data are not there: %v", err)
		}
		t.Skip("needs the test data: set ASTERISM_DATA")
	}
	return root
}

// result is what a person reads of one task.
type result struct {
	Part   string
	Fit    int `json:"fit_rows"`
	Score  int `json:"score_rows"`
	Scores []struct {
		Arm, Metric string
		Mean        float64
	}
}

// score gives a metric of the learned representation or of what it is held against.
func (r result) score(arm, metric string) (float64, bool) {
	for _, s := range r.Scores {
		if s.Arm == arm && s.Metric == metric {
			return s.Mean, true
		}
	}
	return 0, false
}

// answers runs an experiment with the plugin of its folder, as a user would who has not installed it, and gives what it answers.
func answers(t *testing.T, file string, sets ...string) result {
	t.Helper()
	root, program, tmp := data(t), asterism(t), t.TempDir()
	name := filepath.Dir(file)
	words := []string{"--json", "--progress", "none", "--runs", filepath.Join(tmp, "runs"), "--plugin", name + "=" + name, "run", file, "-t", "root=" + root}
	for _, s := range sets {
		words = append(words, "--set", s)
	}
	run := exec.Command(program, words...)
	var said strings.Builder
	run.Env, run.Stderr = append(os.Environ(), "ASTERISM_CACHE="+filepath.Join(tmp, "cache")), &said
	out, err := run.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, said.String())
	}
	var answer struct{ Results []result }
	if err := json.Unmarshal(out, &answer); err != nil || len(answer.Results) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	return answer.Results[0]
}

// The experiments of the plugins, made small, run on real data and answer.
func TestExperiments(t *testing.T) {
	for file, c := range map[string]struct {
		sets       []string
		metric     string
		fit, score int // rows; 0: some
	}{
		"series/motions.cue": {[]string{"train.epochs=1", `train.schedule.cosine={}`, "tasks.motion.draws=1"}, "accuracy", 40, 40}, // the archive's own parts
		"series/italy.cue":   {[]string{"train.epochs=1", `train.schedule.cosine={}`, "tasks.season.draws=1"}, "accuracy", 0, 0},
		"volumes/adrenal.cue": {[]string{"train.epochs=1", `train.schedule.cosine={}`, "train.batch=16", "tasks.gland.draws=1", `tasks.gland.labels=["all"]`, `data.sources[0]."volumes.npz".count=60`},
			"balanced accuracy", 0, 0},
		"hsc/blends.cue": {[]string{"train.epochs=1"}, "mean similarity", 0, 0},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			r := answers(t, file, c.sets...)
			if r.Part != "test" || r.Fit == 0 || r.Score == 0 || c.fit > 0 && (r.Fit != c.fit || r.Score != c.score) {
				t.Errorf("learned from %d and judged on %d of the part %s", r.Fit, r.Score, r.Part)
			}
			for _, arm := range []string{"learned", "untrained"} {
				if v, ok := r.score(arm, c.metric); !ok || !(v >= -1 && v <= 1) {
					t.Errorf("the %s of %s is %v", c.metric, arm, v)
				}
			}
		})
	}
}

// What is learned on real data beats the untrained encoder on held-out objects: by more than a few objects can do by chance on
// motions, where it is 0.97 to 0.76, and on glands after two epochs of the twenty.
func TestExperimentsLearn(t *testing.T) {
	if os.Getenv("ASTERISM_LONG") == "" {
		t.Skip("set ASTERISM_LONG=1 for two trainings of half a minute")
	}
	for file, c := range map[string]struct {
		sets   []string
		metric string
		better float64
	}{
		"series/motions.cue":  {[]string{"tasks.motion.labels=[16]"}, "accuracy", 0.1},
		"volumes/adrenal.cue": {[]string{"train.epochs=2", "tasks.gland.labels=[200]"}, "balanced accuracy", 0.03},
	} {
		t.Run(file, func(t *testing.T) {
			r := answers(t, file, c.sets...)
			learned, _ := r.score("learned", c.metric)
			untrained, _ := r.score("untrained", c.metric)
			pixels, _ := r.score("pixels", c.metric)
			t.Logf("%s: learned %.3f, untrained %.3f, pixels %.3f", c.metric, learned, untrained, pixels)
			if !(learned > untrained+c.better) || !(learned > pixels) {
				t.Errorf("%s: learned %.3f, untrained %.3f, pixels %.3f", c.metric, learned, untrained, pixels)
			}
		})
	}
}

// Every experiment that stands in an example's folder is run by TestExperiments.
func TestEveryExperimentIsRun(t *testing.T) {
	text, err := os.ReadFile("examples_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range modules(t) {
		files, err := filepath.Glob(filepath.Join(name, "*.cue"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			cue, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(cue), "asterism.#Experiment") && !strings.Contains(string(text), `"`+filepath.ToSlash(f)+`"`) {
				t.Errorf("%s is run by no test", f)
			}
		}
	}
}
