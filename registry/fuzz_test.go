package registry_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/registry"
)

// Whatever an archive holds, it is installed whole or not at all, and nothing is written anywhere else.
func FuzzArchive(f *testing.F) {
	for _, entries := range [][]entry{whole(), nil, whole(entry{name: "acme-2.1.0/../x", text: "x"}), whole(entry{name: "acme-2.1.0/table.txt", text: "other"}), {{name: "x", size: 5}}} {
		text, err := os.ReadFile(archived(f, entries, ""))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		s := &registry.Store{Dir: filepath.Join(dir, "plugins"), Trusted: filepath.Join(dir, "trusted")}
		archive := filepath.Join(dir, "x.tar.gz")
		if err := os.WriteFile(archive, text, 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := s.Install(t.Context(), archive, false)
		if err == nil {
			if _, err := registry.Verify(p.Plugin, s.Trusted); err != nil {
				t.Errorf("installed, and not as it should be: %v", err)
			}
		}
		filepath.WalkDir(dir, func(path string, e fs.DirEntry, _ error) error {
			in := err == nil && strings.HasPrefix(path, p.Dir)
			if !in && !e.IsDir() && path != archive && path != s.Trusted && path != filepath.Join(s.Dir, ".lock") {
				t.Errorf("%s was written (%v)", path, err)
			}
			return nil
		})
	})
}

// A plugin.json is that of a plugin or is reported, and does no harm.
func FuzzManifest(f *testing.F) {
	f.Add(manifest("acme"))
	f.Add(described)
	f.Add(`{"command": ["./../x"], "name": "acme"}`)
	f.Add(strings.Repeat("[", 20_000))
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		folder := install(t, dir, "acme/2.1.0", text)
		r, err := registry.Open(nil, "self", registry.Options{Folders: []registry.Folder{{Dir: dir}}})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.All())+len(r.Problems()) != 1 {
			t.Errorf("%d plugins, problems %v", len(r.All()), r.Problems())
		}
		for _, p := range r.All() {
			if p.Name != "acme" || p.Version != "2.1.0" || len(p.Command) == 0 || !filepath.IsAbs(p.Command[0]) && strings.Contains(p.Command[0], "/") {
				t.Errorf("%+v", p)
			}
			for _, word := range p.Command {
				if strings.HasPrefix(word, dir) && !strings.HasPrefix(word, folder) {
					t.Errorf("%s is not in its folder", word)
				}
			}
		}
	})
}

// A lock that can be read says the same after it is written.
func FuzzLock(f *testing.F) {
	f.Add("format: 1\n")
	f.Add(goodLock)
	f.Add("format: 1\nplugins: for: \"1.0.0\": digests: {}\n")
	f.Add("format: 1 + 1\n")
	f.Add("format: \"\\(1)\"")
	f.Add(strings.Repeat("{", 10_000))
	f.Add(strings.Repeat("a: ", 10_000) + "1")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := registry.ParseLock("plugins.lock.cue", []byte(text))
		if err != nil {
			return
		}
		out, err := l.Format()
		if err != nil {
			t.Fatal(err)
		}
		again, err := registry.ParseLock("plugins.lock.cue", out)
		if err != nil || !reflect.DeepEqual(l, again) {
			t.Fatalf("%v: written as\n%s", err, out)
		}
		if twice, err := again.Format(); err != nil || !bytes.Equal(out, twice) {
			t.Errorf("written twice: %v\n%s\n%s", err, out, twice)
		}
	})
}
