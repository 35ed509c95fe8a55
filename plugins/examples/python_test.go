package examples_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pythonNeed skips a test where Python or a library is not installed, and fails where all is required.
func pythonNeed(t *testing.T, modules string) {
	t.Helper()
	t.Setenv("PATH", "/usr/bin"+string(filepath.ListSeparator)+os.Getenv("PATH"))
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
	if out, err := exec.Command("python3", "-c", "import grpc, numpy, google.protobuf, "+modules).CombinedOutput(); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatalf("ASTERISM_REQUIRE is set, and Python has not all of grpc, numpy, protobuf, %s: %s", modules, out)
		}
		t.Skip("Python with grpc, numpy, protobuf, " + modules + " is not installed")
	}
}

// pythonAuthorsTest runs the test that stands in an author's folder.
func pythonAuthorsTest(t *testing.T, folder string) {
	t.Helper()
	sdk, err := filepath.Abs("../sdk/python")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("python3", "-W", "error", "-m", "unittest")
	c.Dir, c.Env = folder, append(os.Environ(), "PYTHONPATH="+sdk)
	if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), "Ran 0 tests") {
		t.Errorf("%s: %v\n%s", folder, err, out)
	}
}

// pythonRun runs an example's experiment, made small, and gives the folder of the run.
func pythonRun(t *testing.T, program, plugin, experiment string, settings ...string) string {
	t.Helper()
	tmp := t.TempDir()
	runs := filepath.Join(tmp, "runs")
	arguments := []string{"--progress", "none", "--runs", runs, "--plugin", plugin + "=" + plugin, "run", filepath.Join(plugin, experiment),
		"--set", `data.sources=[{"skysim.galaxies": {count: 160, size: 24}}]`, "--set", "train.epochs=1", "--set", "train.batch=32", "--set", `encoder={"resnet.r18": {width: 8, stem: "small"}}`,
		"--set", `views.eval=[{"sky.center_crop": {size: 16}}]`}
	for _, s := range settings {
		arguments = append(arguments, "--set", s)
	}
	c := exec.Command(program, arguments...)
	c.Env = append(os.Environ(), "ASTERISM_CACHE="+filepath.Join(tmp, "cache"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found, err := filepath.Glob(filepath.Join(runs, "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("runs: %v, %v", found, err)
	}
	return found[0]
}

func TestPythonExamples(t *testing.T) {
	program := filepath.Join(t.TempDir(), "asterism")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/asterism").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Run("seeing", func(t *testing.T) {
		pythonNeed(t, "scipy.ndimage")
		pythonAuthorsTest(t, "seeing")
		run := pythonRun(t, program, "seeing", "night.cue",
			`views.train=[{"seeing.warp": {}}, {"sky.jitter_crop": {shift: 2, size: 16}}, {"seeing.blur": {}}, {"sky.noise": {}}]`, `train.objective={"contrast.moco": {queue: 64, dim: 8}}`)
		if _, err := os.Stat(filepath.Join(run, "weights.safetensors")); err != nil {
			t.Error(err)
		}
	})
	t.Run("forest", func(t *testing.T) {
		pythonNeed(t, "sklearn")
		pythonAuthorsTest(t, "forest")
		run := pythonRun(t, program, "forest", "answers.cue",
			`views.train=[{"sky.jitter_crop": {shift: 2, size: 16}}, {"sky.noise": {}}]`, `train.objective={"contrast.moco": {queue: 64, dim: 8}}`,
			`tasks.morphology={"forest.trees": {label: "morphology", trees: 20}}`)
		for task, metric := range map[string]string{"morphology": "accuracy", "redshift": "mean absolute error", "far": "accuracy"} {
			text, err := os.ReadFile(filepath.Join(run, "tasks", task, "result.json"))
			if err != nil {
				t.Error(err)
				continue
			}
			if !json.Valid(text) || !strings.Contains(string(text), metric) {
				t.Errorf("%s: no %s in %s", task, metric, text)
			}
		}
	})
}

// Both keep the contract.
func TestPythonExamplesConform(t *testing.T) {
	if os.Getenv("ASTERISM_LONG") == "" {
		t.Skip("the kit takes a minute for each: set ASTERISM_LONG")
	}
	pythonNeed(t, "scipy.ndimage, sklearn")
	for _, folder := range []string{"seeing", "forest"} {
		if out, err := exec.Command("go", "run", "../../cmd/asterism", "plugin", "test", "--batches", "60", folder).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", folder, err, out)
		}
	}
}
