package registry_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/registry"
)

// entry is one of an archive.
type entry struct {
	name, text string
	mode       int64
	kind       byte
	link       string
	size       int64 // said in the header, where it is not that of the text
}

// archived makes an archive; what comes after is appended to it.
func archived(t testing.TB, entries []entry, after string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: max(e.mode, 0o644), Size: int64(len(e.text)), Typeflag: tar.TypeReg, Linkname: e.link}
		if e.kind != 0 {
			h.Typeflag = e.kind
		}
		if e.size > 0 {
			h.Size = e.size
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
		if e.size > 0 { // it ends here
			z.Close()
			return save(t, b.Bytes())
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return save(t, append(b.Bytes(), after...))
}

func save(t testing.TB, text []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "acme.tar.gz")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// whole are the entries of a good archive, of which one may be another.
func whole(change ...entry) []entry {
	files := map[string]string{"plugin.json": strings.Replace(described, "./anything", "sh", 1), "schema/blur.cue": "#Config: {}", "table.txt": "data"}
	var entries []entry
	sums := ""
	for _, name := range []string{"plugin.json", "schema/blur.cue", "table.txt"} {
		entries = append(entries, entry{name: "acme-2.1.0/" + name, text: files[name]})
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(files[name])), name)
	}
	entries = append(entries, entry{name: "acme-2.1.0/SHA256SUMS", text: sums})
	for _, c := range change {
		if i := slices.IndexFunc(entries, func(e entry) bool { return e.name == c.name }); i >= 0 {
			entries[i] = c
		} else {
			entries = append(entries, c)
		}
	}
	return entries
}

func store(t testing.TB) *registry.Store {
	dir := t.TempDir()
	return &registry.Store{Dir: filepath.Join(dir, "plugins"), Trusted: filepath.Join(dir, "trusted")}
}

func TestPackedIsInstalled(t *testing.T) {
	p, err := build(t, folder(t, goSource()))
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := registry.Pack(p, &first); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(p.Command[0], later, later); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.Command[0], 0o700); err != nil {
		t.Fatal(err)
	}
	if err := registry.Pack(p, &second); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two archives of the same plugin differ")
	}
	s := store(t)
	file := save(t, first.Bytes())
	if want := fmt.Sprintf("acme-2.1.0-%s.tar.gz", strings.ReplaceAll(p.Platform, "/", "-")); p.ArchiveName() != want {
		t.Errorf("%s, want %s", p.ArchiveName(), want)
	}
	q, err := s.Install(t.Context(), file, false)
	if err != nil {
		t.Fatal(err)
	}
	if q.Digest != p.Digest || q.Dir != filepath.Join(s.Dir, "acme", "2.1.0") || q.Already || !slices.Equal(files(t, q.Dir), files(t, p.Dir)) {
		t.Errorf("installed %+v of %+v", q, p)
	}
	if out, err := exec.Command(filepath.Join(q.Dir, "acme"), "describe").Output(); err != nil || string(out) != described {
		t.Errorf("what is installed says %s (%v)", out, err)
	}
	if digest, err := registry.Verify(q.Plugin, s.Trusted); err != nil || digest != p.Digest {
		t.Errorf("verified as %s (%v), not as %s", digest, err, p.Digest)
	}
	// GNU tar reads it, and what GNU tar makes of it is an archive as well.
	out := t.TempDir()
	if text, err := exec.Command("tar", "xzf", file, "-C", out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if text, err := exec.Command("tar", "czf", file, "-C", out, "acme-2.1.0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if q, err = s.Install(t.Context(), file, false); err != nil || !q.Already {
		t.Errorf("packed by tar: %+v, %v", q, err)
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	zeros := strings.Repeat("\x00", 100<<20)
	many := make([]entry, 0, 20_002)
	for i := range 20_001 {
		many = append(many, entry{name: fmt.Sprint("acme-2.1.0/", i)})
	}
	within := func(name string) []entry { return whole(entry{name: name, text: "x"}) }
	for name, c := range map[string]struct {
		entries []entry
		says    []string
	}{
		"absolute":       {within("/etc/cron.d/x"), []string{`"/etc/cron.d/x" leads out of the folder`}},
		"parent":         {within("acme-2.1.0/../../x"), []string{"leads out of the folder"}},
		"parent first":   {within("../x"), []string{"leads out of the folder"}},
		"dot":            {within("acme-2.1.0/./x"), []string{"not written plainly"}},
		"backslash":      {within(`acme-2.1.0/..\x`), []string{"characters that names do not have"}},
		"control":        {within("acme-2.1.0/a\nb"), []string{"characters that names do not have"}},
		"not text":       {within("acme-2.1.0/\xff"), []string{"leads out of the folder, or is not written plainly"}},
		"long":           {within("acme-2.1.0/" + strings.Repeat("x/", 300) + "y"), []string{"more than 512 bytes"}},
		"outside":        {within("other/x"), []string{`not in the one folder that encloses all, "acme-2.1.0"`}},
		"bare":           {within("acme-2.1.0"), []string{"encloses all"}},
		"hidden":         {within("acme-2.1.0/.profile"), []string{"is hidden"}},
		"cache":          {within("acme-2.1.0/__pycache__/plugin.cpython-311.pyc"), []string{"what Python caches"}},
		"symbolic link":  {whole(entry{name: "acme-2.1.0/x", kind: tar.TypeSymlink, link: "/etc/passwd"}), []string{"neither a file nor a folder"}},
		"hard link":      {whole(entry{name: "acme-2.1.0/x", kind: tar.TypeLink, link: "acme-2.1.0/table.txt"}), []string{"neither a file nor a folder"}},
		"pipe":           {whole(entry{name: "acme-2.1.0/x", kind: tar.TypeFifo}), []string{"neither a file nor a folder"}},
		"device":         {whole(entry{name: "acme-2.1.0/x", kind: tar.TypeChar}), []string{"neither a file nor a folder"}},
		"twice":          {append(whole(), entry{name: "acme-2.1.0/table.txt", text: "other"}), []string{`"acme-2.1.0/table.txt" twice`}},
		"case":           {within("acme-2.1.0/Table.txt"), []string{"the same on some machines"}},
		"case of folder": {within("acme-2.1.0/Schema/x"), []string{"the same on some machines"}},
		"file as folder": {within("acme-2.1.0/table.txt/x"), []string{`"acme-2.1.0/table.txt" twice`}},
		"folder as file": {within("acme-2.1.0/schema"), []string{`"acme-2.1.0/schema" twice`}},
		"setuid":         {whole(entry{name: "acme-2.1.0/x", text: "x", mode: 0o4755}), []string{"special rights", "4755"}},
		"setgid folder":  {whole(entry{name: "acme-2.1.0/x/", kind: tar.TypeDir, mode: 0o2755}), []string{"special rights"}},
		"huge":           {[]entry{{name: "acme-2.1.0/x", size: 3 << 30}}, []string{"has 3221225472 bytes"}},
		"negative":       {[]entry{{name: "acme-2.1.0/x", size: 1 << 62}}, []string{"no file may have more"}},
		"many":           {many, []string{"more than 20000 files"}},
		"bomb":           {[]entry{{name: "acme-2.1.0/x", text: zeros}}, []string{"unfold to 104857600 and more"}},
		"cut":            {[]entry{{name: "acme-2.1.0/x", text: "x", size: 1000}}, []string{"broken"}},
		"empty":          {nil, []string{"is empty"}},
		"no plugin":      {[]entry{{name: "acme-2.1.0/x", text: "x"}}, []string{"no plugin.json", "not the archive of a plugin"}},
		"changed":        {whole(entry{name: "acme-2.1.0/table.txt", text: "dato"}), []string{"table.txt: is not what it was"}},
		"surplus":        {within("acme-2.1.0/more"), []string{"more: is surplus"}},
		"missing":        {slices.DeleteFunc(whole(), func(e entry) bool { return e.name == "acme-2.1.0/table.txt" }), []string{"table.txt: is missing"}},
		"no sums":        {slices.DeleteFunc(whole(), func(e entry) bool { return e.name == "acme-2.1.0/SHA256SUMS" }), []string{"SHA256SUMS: is missing"}},
		"odd sums":       {whole(entry{name: "acme-2.1.0/SHA256SUMS", text: "0123 *table.txt\n"}), []string{"SHA256SUMS: holds the line"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := store(t)
			_, err := s.Install(t.Context(), archived(t, c.entries, ""), false)
			contains(t, err, fault.Plugin, c.says...)
			if left := files(t, s.Dir); len(left) > 1 { // the lock
				t.Errorf("left behind: %v", left)
			}
			if _, err := os.Stat(s.Trusted); err == nil {
				t.Error("it is trusted")
			}
		})
	}
	for _, after := range []string{"garbage", func() string {
		text, err := os.ReadFile(archived(t, whole(), ""))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}()} {
		_, err := store(t).Install(t.Context(), archived(t, whole(), after), false)
		contains(t, err, fault.Plugin, "something follows its end")
	}
	var b bytes.Buffer // behind the end of the tar, inside of what is compressed
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "acme-2.1.0/x", Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	io.WriteString(z, "payload")
	z.Close()
	_, err := store(t).Install(t.Context(), save(t, b.Bytes()), false)
	contains(t, err, fault.Plugin, "something follows its end")
	if _, err := store(t).Install(t.Context(), archived(t, append([]entry{{name: "acme-2.1.0/", kind: tar.TypeDir}}, whole()...), ""), false); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

func TestVerifyNamesEachFile(t *testing.T) {
	s := store(t)
	p, err := s.Install(t.Context(), archived(t, whole(), ""), false)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(p.Dir, name) }
	if _, err := registry.Verify(p.Plugin, s.Trusted); err != nil {
		t.Fatal(err)
	}
	keep, err := os.ReadFile(in("SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct{ name, text string }{{"table.txt", "dato"}, {"more.txt", ""}, {"__pycache__/x.pyc", ""}} {
		if err := os.MkdirAll(filepath.Dir(in(f.name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(in(f.name), []byte(f.text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(in("schema/blur.cue")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", in("link")); err != nil {
		t.Fatal(err)
	}
	_, err = registry.Verify(p.Plugin, s.Trusted)
	contains(t, err, fault.Plugin, in("table.txt")+": is not what it was", in("more.txt")+": is surplus", in("__pycache__/x.pyc")+": is surplus", in("schema/blur.cue")+": is missing", in("link")+": is not a plain file", "--force")
	// A list of sums that was made to fit is seen as well.
	if _, err := s.Install(t.Context(), archived(t, whole(), ""), true); err != nil {
		t.Fatal(err)
	}
	sums := bytes.Replace(keep, []byte(fmt.Sprintf("%x", sha256.Sum256([]byte("data")))), []byte(fmt.Sprintf("%x", sha256.Sum256([]byte("dato")))), 1)
	for name, text := range map[string]string{"table.txt": "dato", "SHA256SUMS": string(sums)} {
		if err := os.WriteFile(in(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err = registry.Verify(p.Plugin, s.Trusted)
	contains(t, err, fault.Plugin, "you have not installed this acme 2.1.0", "agree with its SHA256SUMS")
}

// Several installations at once leave one plugin, whole, and an installation that is killed leaves nothing.
func TestInstallationsAtOnceAndKilled(t *testing.T) {
	s := store(t)
	archive := archived(t, whole(), "")
	results := make(chan error)
	const n = 8
	for range n {
		go func() {
			_, err := s.Install(t.Context(), archive, false)
			results <- err
		}()
	}
	for range n {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got := files(t, s.Dir); len(got) != 5 {
		t.Errorf("there is %v", got)
	}
	text, err := os.ReadFile(s.Trusted)
	if err != nil || strings.Count(string(text), "\n") != 1 {
		t.Errorf("recorded: %q (%v)", text, err)
	}
	// What one that was killed has left does not count, and is gone after the next.
	killed := filepath.Join(s.Dir, ".aside-123", "new")
	if err := os.MkdirAll(killed, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(killed, "plugin.json"), []byte(described), 0o644); err != nil {
		t.Fatal(err)
	}
	r := open(t, registry.Options{Folders: []registry.Folder{{Dir: s.Dir}}})
	if len(r.List()) != 3 || len(r.Problems()) != 0 {
		t.Errorf("%d plugins, problems %v", len(r.List()), r.Problems())
	}
	if _, err := s.Install(t.Context(), archive, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(killed); err == nil {
		t.Error("what was left behind is still there")
	}
	// Killed after it had made place, it gives back what was there.
	there := filepath.Join(s.Dir, "acme", "2.1.0")
	if err := os.Mkdir(filepath.Join(s.Dir, ".aside-9"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(there, filepath.Join(s.Dir, ".aside-9", "replaced")); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Install(t.Context(), archive, false); err != nil || !p.Already {
		t.Errorf("%+v, %v", p, err)
	}
}
