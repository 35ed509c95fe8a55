package registry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/registry"
)

func describe(name string, components ...string) *protocol.Description {
	d := &protocol.Description{Name: name, Version: "1.0.0", Api: protocol.API}
	for _, c := range components {
		d.Components = append(d.Components, &protocol.ComponentInfo{Name: c, Kind: protocol.Kind_AUGMENTATION, Revision: 1, Schema: "#Config: {}"})
	}
	return d
}

func manifest(name string) string {
	return fmt.Sprintf(`{"command": ["./bin/x", "--serve", "data"], "name": %q, "version": "2.1.0", "api": 1,
		"components": [{"name": "blur", "kind": "AUGMENTATION", "revision": 3, "schema": "#Config: {}", "summary": "Blurs."}]}`, name)
}

// install makes a plugin's folder below dir.
func install(t *testing.T, dir, folder, text string) string {
	t.Helper()
	dir = filepath.Join(dir, folder)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plugin.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, o registry.Options) *registry.Registry {
	t.Helper()
	r, err := registry.Open([]*protocol.Description{describe("sky", "rotate", "noise"), describe("resnet", "r18")}, "/proc/self/exe", o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func contains(t *testing.T, err error, kind fault.Kind, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if k := fault.KindOf(err); k != kind {
		t.Errorf("kind %v, want %v: %v", k, kind, err)
	}
	var b strings.Builder
	fault.Print(&b, err)
	for _, p := range parts {
		if !strings.Contains(b.String(), p) {
			t.Errorf("%q is not said in:\n%s", p, &b)
		}
	}
}

func TestBuiltinStartsThisBinary(t *testing.T) {
	p, c, err := open(t, registry.Options{}).Component("sky.noise")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(p.Command, " "); got != "/proc/self/exe plugin serve sky" || !p.Builtin || c.Name != "noise" {
		t.Errorf("%q, %+v", got, p)
	}
}

func TestInstalledFolder(t *testing.T) {
	dir := t.TempDir()
	folder := install(t, dir, "acme-2.1.0", manifest("acme"))
	r := open(t, registry.Options{Dirs: []string{filepath.Join(dir, "missing"), dir}})
	p, c, err := r.Component("acme.blur")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(folder, "bin/x") + " --serve data"; strings.Join(p.Command, " ") != want || p.Dir != folder || c.Revision != 3 {
		t.Errorf("%+v, want the command %s", p, want)
	}
	if len(r.List()) != 3 || len(r.Problems()) != 0 {
		t.Errorf("%d plugins, problems %v", len(r.List()), r.Problems())
	}
	// A link to the folder is as good as the folder.
	links := t.TempDir()
	if err := os.Symlink(folder, filepath.Join(links, "acme")); err != nil {
		t.Fatal(err)
	}
	if q, err := open(t, registry.Options{Dirs: []string{links}}).Plugin("acme"); err != nil || q.Digest != p.Digest {
		t.Errorf("through a link: digest %q, not %q (%v)", q.Digest, p.Digest, err)
	}
	// The digest follows the content.
	if !strings.HasPrefix(p.Digest, "h1:") {
		t.Errorf("digest %q", p.Digest)
	}
	if err := os.WriteFile(filepath.Join(folder, "model.bin"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	q, err := open(t, registry.Options{Dirs: []string{dir}}).Plugin("acme")
	if err != nil || q.Digest == p.Digest {
		t.Errorf("the digest stayed %q after a file was added (%v)", q.Digest, err)
	}
}

func TestOverrideComesFirst(t *testing.T) {
	folder := install(t, t.TempDir(), "mine", manifest("sky"))
	p, err := open(t, registry.Options{Overrides: map[string]string{"sky": folder}}).Plugin("sky")
	if err != nil || !p.Override || p.Builtin || p.Version != "2.1.0" {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = registry.Open(nil, "self", registry.Options{Overrides: map[string]string{"acme": folder}})
	contains(t, err, fault.Plugin, `describes the plugin "sky", not "acme"`, "plugin.json")
	_, err = registry.Open(nil, "self", registry.Options{Overrides: map[string]string{"acme": t.TempDir()}})
	contains(t, err, fault.Config, "there is no ", "plugin.json", "describe")
}

func TestUnknownNames(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, "broken", `{"name": "lens"`)
	r := open(t, registry.Options{Dirs: []string{dir}})
	_, err := r.Plugin("resnte")
	contains(t, err, fault.Config, `no plugin "resnte"`, "installed are resnet, sky", "in this binary, in "+dir, `did you mean "resnet"`, "broken/plugin.json: is not JSON")
	_, _, err = r.Component("sky.rotat")
	contains(t, err, fault.Config, `no component "rotat"`, "sky.rotate, sky.noise", `did you mean "sky.rotate"`)
	_, _, err = r.Component("rotate")
	contains(t, err, fault.Config, "names no component")
}

func TestBrokenFoldersAreNamedAndLeftOut(t *testing.T) {
	good := manifest("acme")
	for name, c := range map[string]struct{ text, says string }{
		"json":      {"{", "is not JSON"},
		"list":      {"[]", "is not JSON"},
		"command":   {strings.Replace(good, `"command"`, `"comand"`, 1), "has no command"},
		"empty":     {strings.Replace(good, `["./bin/x", "--serve", "data"]`, "[]", 1), "has no command"},
		"field":     {strings.Replace(good, `"summary"`, `"sumary"`, 1), `unknown field "sumary"`},
		"name":      {strings.Replace(good, `"acme"`, `"Acme"`, 1), "lower-case"},
		"api":       {strings.Replace(good, `"api": 1`, `"api": 9`, 1), "version 9 of the plugin contract"},
		"kind":      {strings.Replace(good, "AUGMENTATION", "MAGIC", 1), "MAGIC"},
		"revision":  {strings.Replace(good, `"revision": 3`, `"revision": 0`, 1), "no revision"},
		"schema":    {strings.Replace(good, "#Config", "#Settings", 1), "does not define #Config"},
		"taken":     {manifest("sky"), "one in this binary already"},
		"component": {strings.Replace(good, `"blur"`, `"blur.x"`, 1), "component name"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			install(t, dir, "p", c.text)
			r := open(t, registry.Options{Dirs: []string{dir}})
			if len(r.List()) != 2 || len(r.Problems()) != 1 {
				t.Fatalf("%d plugins, problems %v", len(r.List()), r.Problems())
			}
			contains(t, r.Problems()[0], fault.Plugin, c.says, filepath.Join(dir, "p", "plugin.json"))
		})
	}
}

func ExampleOpen() {
	r, err := registry.Open([]*protocol.Description{describe("sky", "rotate")}, "/proc/self/exe", registry.Options{})
	if err != nil {
		panic(err)
	}
	p, c, err := r.Component("sky.rotate")
	fmt.Println(p.Command, c.Kind, err)
	// Output: [/proc/self/exe plugin serve sky] AUGMENTATION <nil>
}
