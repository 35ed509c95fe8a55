package python_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPip installs the package as pip does, without a network, and runs a plugin with it that lies elsewhere.
func TestPip(t *testing.T) {
	need(t)
	if out, err := exec.Command(interpreter, "-c", "import setuptools, pip, wheel").CombinedOutput(); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatalf("ASTERISM_REQUIRE is set, and Python has not all of pip, setuptools, wheel: %s", out)
		}
		t.Skip("Python with pip, setuptools and wheel is not installed")
	}
	dir := t.TempDir()
	source, target := filepath.Join(dir, "source"), filepath.Join(dir, "target") // pip writes into the source's folder
	if err := os.Mkdir(source, 0o777); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-r", "pyproject.toml", "README.md", "asterism_plugin", source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	install := exec.Command(interpreter, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir", "--target", target, source)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	plugin := filepath.Join(dir, "plugin.py")
	const text = `import asterism_plugin as asterism

@asterism.augmentation("same", revision=1, summary="Does nothing.", schema="#Config: {}")
class Same:
    def plan(self, facts): ...
    def apply(self, sample): ...

asterism.serve("acme", "1.2.3")
`
	if err := os.WriteFile(plugin, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	describe := exec.Command(interpreter, plugin, "describe")
	describe.Dir, describe.Env = dir, append(os.Environ(), "PYTHONPATH="+target)
	if out, err := describe.Output(); err != nil || !strings.Contains(string(out), `"version": "1.2.3"`) {
		t.Errorf("%v: %s", err, out)
	}
	metadata, err := filepath.Glob(filepath.Join(target, "asterism_plugin-*.dist-info", "METADATA"))
	if err != nil || len(metadata) != 1 {
		t.Fatalf("%v, %v", metadata, err)
	}
	told, err := os.ReadFile(metadata[0])
	for _, want := range []string{"Requires-Dist: grpcio", "Requires-Dist: numpy", "Requires-Dist: protobuf", "# asterism_plugin"} {
		if err != nil || !strings.Contains(string(told), want) {
			t.Errorf("%q is not in the package's description (%v): %s", want, err, told)
		}
	}
}
