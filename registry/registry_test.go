package registry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// stored makes the folder of a plugin that is installed below dir.
func stored(t *testing.T, dir, name, version string) string {
	t.Helper()
	return install(t, dir, filepath.Join(name, version), strings.Replace(manifest(name), "2.1.0", version, 1))
}

func TestInstalledFolder(t *testing.T) {
	dir := t.TempDir()
	folder := stored(t, dir, "acme", "2.1.0")
	r := open(t, registry.Options{Folders: []registry.Folder{{Dir: filepath.Join(dir, "missing")}, {Dir: dir}}})
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
	digest := func(folders ...registry.Folder) string {
		t.Helper()
		p, err := open(t, registry.Options{Folders: folders}).Start("acme")
		if err != nil {
			t.Fatal(err)
		}
		return p.Digest
	}
	first := digest(registry.Folder{Dir: dir})
	if !strings.HasPrefix(first, "h1:") || p.Digest != "" {
		t.Errorf("digest %q of what is started, %q of what is looked up", first, p.Digest)
	}
	// A link to the folder is as good as the folder.
	links := t.TempDir()
	if err := os.Mkdir(filepath.Join(links, "acme"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(folder, filepath.Join(links, "acme", "2.1.0")); err != nil {
		t.Fatal(err)
	}
	if d := digest(registry.Folder{Dir: links}); d != first {
		t.Errorf("through a link: digest %q, not %q", d, first)
	}
	// The digest follows the content of every file.
	if err := os.WriteFile(filepath.Join(folder, "model.bin"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if d := digest(registry.Folder{Dir: dir}); d == first {
		t.Errorf("the digest stayed %q after a file was added", d)
	}
	// What is no file has no digest, and is not waited for.
	if err := syscall.Mkfifo(filepath.Join(folder, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, registry.Options{Folders: []registry.Folder{{Dir: dir}}}).Start("acme")
	contains(t, err, fault.Plugin, "pipe", "is not a file")
}

func TestVersionsSideBySide(t *testing.T) {
	user, project := t.TempDir(), t.TempDir()
	for _, v := range []string{"1.2.0", "1.10.0", "1.9.3", "2.0.0-rc.1"} {
		stored(t, user, "acme", v)
	}
	stored(t, user, "lens", "0.1.0-beta")
	inProject := stored(t, project, "acme", "1.2.0")
	r := open(t, registry.Options{Folders: []registry.Folder{{Dir: project, Project: true}, {Dir: user}}})
	if p, err := r.Plugin("acme"); err != nil || p.Version != "1.10.0" {
		t.Errorf("without a wish: %s (%v)", p.Version, err)
	}
	_, err := r.Plugin("lens")
	contains(t, err, fault.Config, "before a release only: 0.1.0-beta", `plugins: lens: "0.1.0-beta"`)
	for _, v := range []string{"2.0.0-rc.1", "1.9.3", "1.2.0"} {
		if err := r.Want("acme", v); err != nil {
			t.Fatal(err)
		}
		if p, err := r.Plugin("acme"); err != nil || p.Version != v || (v == "1.2.0") != (p.Dir == inProject) {
			t.Errorf("with a wish for %s: %s in %s (%v)", v, p.Version, p.Dir, err)
		}
	}
	contains(t, r.Want("acme", "1.3.0"), fault.Config, "there is no acme 1.3.0: installed are 1.2.0, 1.9.3, 1.10.0, 2.0.0-rc.1", "looked in this binary, in "+project+", in "+user, "asterism plugin install")
	contains(t, r.Want("sky", "9.0.0"), fault.Config, "there is no sky 9.0.0: the plugin is in this binary, in version 1.0.0")
	contains(t, r.Want("acne", "1.0.0"), fault.Config, `there is no plugin "acne"`, "installed are acme 1.2.0, 1.9.3, 1.10.0, 2.0.0-rc.1; lens 0.1.0-beta, and", `did you mean "acme"`)
	if err := r.Want("sky", "1.0.0"); err != nil {
		t.Error(err)
	}
	if n := len(r.All()); n != 8 {
		t.Errorf("%d plugins in all versions", n)
	}
}

// What came with a project is started when the user has installed it, and what is there is still that.
func TestPluginsOfAProjectAreNotTrusted(t *testing.T) {
	dir := t.TempDir()
	s := &registry.Store{Dir: filepath.Join(dir, "plugins"), Trusted: filepath.Join(dir, "trusted")}
	folder := stored(t, s.Dir, "acme", "1.2.0")
	if err := os.MkdirAll(filepath.Join(folder, "bin"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "bin", "x"), []byte("program"), 0o777); err != nil {
		t.Fatal(err)
	}
	start := func() error {
		_, err := open(t, registry.Options{Folders: []registry.Folder{{Dir: s.Dir, Project: true}}, Trusted: s.Trusted}).Start("acme")
		return err
	}
	contains(t, start(), fault.Plugin, "came with the project", "it is not started", "asterism plugin install --project "+folder)
	_, err := s.Install(t.Context(), folder, false)
	contains(t, err, fault.Config, "another acme 1.2.0 is installed", "--force") // it is not as Build leaves it
	p, err := s.Install(t.Context(), folder, true)
	if err != nil || p.Dir != folder {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := start(); err != nil {
		t.Error(err)
	}
	if p, err = s.Install(t.Context(), folder, false); err != nil || !p.Already {
		t.Errorf("on itself: %+v, %v", p, err)
	}
	if err := os.WriteFile(filepath.Join(folder, "bin", "x"), []byte("another"), 0o777); err != nil {
		t.Fatal(err)
	}
	contains(t, start(), fault.Plugin, "it is not started")
}

func TestOverrideComesFirst(t *testing.T) {
	folder := install(t, t.TempDir(), "mine", manifest("sky"))
	p, err := open(t, registry.Options{Overrides: map[string]string{"sky": folder}}).Plugin("sky")
	if err != nil || !p.Override || p.Builtin || p.Version != "2.1.0" {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = registry.Open(nil, "self", registry.Options{Overrides: map[string]string{"acme": folder}})
	contains(t, err, fault.Config, `holds the plugin "sky", not "acme"`, "write --plugin sky=")
	_, err = registry.Open(nil, "self", registry.Options{Overrides: map[string]string{"acme": t.TempDir()}})
	contains(t, err, fault.Config, "there is no ", "plugin.json", "describe")
}

func TestUnknownNames(t *testing.T) {
	dir := t.TempDir()
	install(t, dir, "lens/1.0.0", `{"name": "lens"`)
	r := open(t, registry.Options{Folders: []registry.Folder{{Dir: dir}}})
	_, err := r.Plugin("resnte")
	contains(t, err, fault.Config, `no plugin "resnte"`, "installed are none, and in this binary resnet, sky; looked in this binary, in "+dir, `did you mean "resnet"`, "lens/1.0.0/plugin.json: is not JSON")
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
		"outside":   {strings.Replace(good, `"./bin/x"`, `"./../../x"`, 1), "leads out of the folder"},
		"empty":     {strings.Replace(good, `["./bin/x", "--serve", "data"]`, "[]", 1), "has no command"},
		"field":     {strings.Replace(good, `"summary"`, `"sumary"`, 1), `unknown field "sumary"`},
		"name":      {strings.Replace(good, `"acme"`, `"Acme"`, 1), "lower-case"},
		"api":       {strings.Replace(good, `"api": 1`, `"api": 9`, 1), "version 9 of the plugin contract"},
		"kind":      {strings.Replace(good, "AUGMENTATION", "MAGIC", 1), "MAGIC"},
		"revision":  {strings.Replace(good, `"revision": 3`, `"revision": 0`, 1), "no revision"},
		"schema":    {strings.Replace(good, "#Config", "#Settings", 1), "does not define #Config"},
		"taken":     {manifest("sky"), "one in this binary already"},
		"version":   {strings.Replace(good, "2.1.0", "2.1.1", 1), "describes acme 2.1.1 in the folder of acme 2.1.0"},
		"platform":  {strings.Replace(good, `"name"`, `"platform": "plan9/386", "name"`, 1), "for plan9/386; this is "},
		"component": {strings.Replace(good, `"blur"`, `"blur.x"`, 1), "component name"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			folder := "acme/2.1.0"
			if name == "taken" {
				folder = "sky/2.1.0"
			}
			install(t, dir, folder, c.text)
			r := open(t, registry.Options{Folders: []registry.Folder{{Dir: dir}}})
			if len(r.List()) != 2 || len(r.Problems()) != 1 {
				t.Fatalf("%d plugins, problems %v", len(r.List()), r.Problems())
			}
			contains(t, r.Problems()[0], fault.Plugin, c.says, filepath.Join(dir, folder, "plugin.json"))
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
