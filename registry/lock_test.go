package registry_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
	"github.com/asterism-ssl/asterism/registry"
)

const someDigest = "h1:RKNn3bYwYw3tgaTf9/iJTm9HGCwKsVczzjwCJ1od5ac="

const goodLock = `// The plugins of the experiments in this folder, held fast: a plugin whose files have another digest is not started.
// Written by asterism plugin lock; keep it with the experiments.

format: 1
plugins: {
	acme: "1.2.0": {
		digests: "linux/arm64": "` + someDigest + `"
		components: blur: {kind: "augmentation", revision: 1, schema: "sha256:b97b901c5649ce53ba1dd3e8a2f0e580e5534f49487523c0db2b52a68e8cc277"}
	}
	for: {
		"0.1.0-rc.1": {
			digests: any: "` + someDigest + `"
			components: if: {kind: "task", revision: 2, schema: "sha256:b97b901c5649ce53ba1dd3e8a2f0e580e5534f49487523c0db2b52a68e8cc277"}
		}
		"0.10.0": {
			digests: {}
			components: {}
		}
	}
}
`

func TestLockIsReadAndWritten(t *testing.T) {
	l, err := registry.ParseLock("x", []byte(goodLock))
	if err != nil {
		t.Fatal(err)
	}
	if c := l.Plugins["for"]["0.1.0-rc.1"].Components["if"]; c.Kind != "task" || c.Revision != 2 {
		t.Errorf("%+v", c)
	}
	text, err := l.Format()
	if err != nil || string(text) != goodLock {
		t.Errorf("written (%v):\n%s", err, text)
	}
	if l, err := registry.ReadLock(filepath.Join(t.TempDir(), registry.LockFile)); l != nil || err != nil {
		t.Errorf("of none: %v, %v", l, err)
	}
}

// A plugin, and a component, may have the name of a field of the file.
func TestLockOfPluginCalledFormat(t *testing.T) {
	text := strings.NewReplacer("for:", "format:", "if:", "format:").Replace(goodLock)
	l, err := registry.ParseLock("x", []byte(text))
	if err != nil || l.Plugins["format"]["0.1.0-rc.1"].Components["format"].Kind != "task" {
		t.Errorf("%+v, %v", l, err)
	}
	_, err = registry.ParseLock("x", []byte(strings.Replace(text, "format: 1\n", "", 1)))
	contains(t, err, fault.Config, "does not say its format")
}

func TestLockOfNewerAsterism(t *testing.T) {
	_, err := registry.ParseLock("x", []byte(strings.Replace(goodLock, "format: 1", "format: 2", 1)))
	contains(t, err, fault.Config, "x:4:9: this lock cannot be used: it is of format 2, which a newer Asterism has written, and this one reads format 1", "use an Asterism as new as the one that locked")
}

func TestLocksThatCannotBeUsed(t *testing.T) {
	for name, c := range map[string]struct{ old, new, says string }{
		"syntax":      {"format: 1", "format: {", "x:20:3: this lock cannot be used: it is not CUE"},
		"format":      {"format: 1", "format: 0", "x:4:9: this lock cannot be used: it is of format 0"},
		"no format":   {"format: 1", "", "does not say its format"},
		"field":       {"plugins:", "plugin:", `there is no field "plugin"`},
		"twice":       {"format: 1", "format: 1\nformat: 1", `"format" is given twice`},
		"computed":    {`"1.2.0"`, `"1.\(2).0"`, "a plain field is wanted here"},
		"optional":    {"acme:", "acme?:", "a plain field is wanted here"},
		"pattern":     {"acme:", "[string]:", "a plain field is wanted here"},
		"comprehends": {"format: 1", "format: 1\nif true {a: 1}", "a field is wanted here"},
		"import":      {"format: 1", "import \"list\"\nformat: 1", "a field is wanted here"},
		"name":        {"acme:", "Acme:", `"Acme" is no plugin`},
		"version":     {`"1.2.0"`, `"1.2"`, `"1.2" is no version`},
		"platform":    {"linux/arm64", "Linux", `"Linux" is no platform`},
		"digest":      {"h1:RK", "h2:RK", "is no digest"},
		"schema":      {"sha256:b97", "sha1:b97", "is no digest of a schema"},
		"number":      {"revision: 1", `revision: "1"`, "a number is wanted here"},
		"large":       {"revision: 1", "revision: 99999999999", "a number is wanted here"},
		"text":        {`kind: "task"`, "kind: 1", "a text is wanted here"},
		"struct":      {"digests: {}", "digests: 1", "a struct is wanted here"},
		"size":        {"format: 1", "format: 1 //" + strings.Repeat(" ", 300_000), "and no lock has more"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(goodLock, c.old, c.new, 1)
			if text == goodLock {
				t.Fatal("nothing is changed")
			}
			_, err := registry.ParseLock("x", []byte(text))
			contains(t, err, fault.Config, c.says, "written by asterism plugin lock, not by hand")
		})
	}
}

// What is locked for other machines stays as long as it can be of the same plugin.
func TestLocksOfSeveralPlatforms(t *testing.T) {
	plugin := func(platform, schema, digest string) registry.Plugin {
		return registry.Plugin{Name: "acme", Version: "1.2.0", Platform: platform, Digest: digest, Manifest: &protocol.Description{Components: []*protocol.ComponentInfo{{Name: "blur", Kind: protocol.Kind_AUGMENTATION, Revision: 1, Schema: schema}}}}
	}
	before := &registry.Lock{}
	for _, c := range []struct {
		p    registry.Plugin
		want []string
	}{
		{plugin("linux/amd64", "a", "1"), []string{"linux/amd64"}},
		{plugin("linux/arm64", "a", "2"), []string{"linux/amd64", "linux/arm64"}},
		{plugin("linux/amd64", "a", "3"), []string{"linux/amd64", "linux/arm64"}},
		{plugin("linux/amd64", "b", "4"), []string{"linux/amd64"}},
		{plugin("", "b", "5"), []string{"any"}},
		{plugin("linux/arm64", "b", "6"), []string{"linux/arm64"}},
	} {
		l := &registry.Lock{Plugins: map[string]map[string]*registry.Locked{}}
		l.Add(c.p, before)
		if got := slices.Sorted(maps.Keys(l.Plugins["acme"]["1.2.0"].Digests)); !slices.Equal(got, c.want) || l.Digest(c.p) != c.p.Digest {
			t.Errorf("after %s with %s: %v and %s, want %v", c.p.Platform, c.p.Digest, got, l.Digest(c.p), c.want)
		}
		before = l
	}
}
