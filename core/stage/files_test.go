package stage

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
)

func TestLink(t *testing.T) {
	c := open(t, t.TempDir())
	r, err := c.Do(context.Background(), "k", "", two)
	if err != nil {
		t.Fatal(err)
	}
	run := filepath.Join(t.TempDir(), "runs", "efigi")
	if err := c.Link("k", run); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(run, "figures/a.png")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(run, "figures/a.png"), []byte("another"), 0o644); err != nil { // a file of the user's
		t.Fatal(err)
	}
	if err := c.Link("k", run); err != nil { // again: replaces what differs, keeps what is the same
		t.Fatal(err)
	}
	for name, want := range map[string]string{"weights.safetensors": "the weights", "figures/a.png": "a picture"} {
		text, err := os.ReadFile(filepath.Join(run, name))
		a, _ := os.Stat(filepath.Join(run, name))
		b, _ := os.Stat(filepath.Join(r.Dir, name))
		if err != nil || string(text) != want || !os.SameFile(a, b) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for dir, n := range map[string]int{run: 2, filepath.Join(run, "figures"): 1} {
		if names, _ := os.ReadDir(dir); len(names) != n {
			t.Errorf("%s holds %v", dir, names)
		}
	}
	wantFault(t, c.Link("none", run), fault.Data, "not there")
	file := filepath.Join(run, "weights.safetensors")
	wantFault(t, c.Link("k", filepath.Join(file, "x")), fault.Resource, file)
}

func TestLinkCopiesToAnotherDisk(t *testing.T) {
	other, err := os.MkdirTemp("/dev/shm", "link")
	if err != nil {
		t.Skip("no other disk to copy to: ", err)
	}
	defer os.RemoveAll(other)
	c := open(t, t.TempDir())
	r, err := c.Do(context.Background(), "k", "", two)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(r.Dir, "weights.safetensors"), filepath.Join(other, "probe")); err == nil {
		t.Skip("the temporary folder is on the same disk as /dev/shm")
	}
	for range 2 {
		if err := c.Link("k", other); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(other, "weights.safetensors")); err != nil || string(text) != "the weights" {
		t.Errorf("%q, %v", text, err)
	}
	if names, _ := os.ReadDir(other); len(names) != 2 {
		t.Errorf("it holds %v", names)
	}
}

func TestFileDigest(t *testing.T) {
	c := open(t, t.TempDir())
	path := filepath.Join(t.TempDir(), "table.csv")
	write := func(text string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age).Truncate(time.Second)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	digest := func() string {
		t.Helper()
		d, err := c.FileDigest(path)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	// SHA-256 of "abc", FIPS 180-2
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	write("abc", time.Hour)
	if d := digest(); d != abc {
		t.Errorf("digest %s", d)
	}
	remembered, _ := filepath.Glob(filepath.Join(c.Dir(), ".digests", "*"))
	if len(remembered) != 1 {
		t.Fatalf("remembered: %v", remembered)
	}
	// What is remembered is used: a wrong memory shows.
	text, err := os.ReadFile(remembered[0])
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Repeat("0", 64)
	if err := os.WriteFile(remembered[0], []byte(strings.Replace(string(text), abc, wrong, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if d := digest(); d != wrong {
		t.Errorf("the file was read again: %s", d)
	}
	write("abcd", time.Hour) // another size
	if d := digest(); d == wrong || d == abc {
		t.Errorf("a longer file has the digest %s", d)
	}
	write("abce", 2*time.Hour) // another time
	other := digest()
	write("abcd", 0) // too young to be remembered
	before := digest()
	if other == before {
		t.Error("a changed file has the same digest")
	}
	write("abcf", 0)
	if digest() == before {
		t.Error("a file changed twice in a moment has the digest of the first")
	}
	if err := os.WriteFile(remembered[0], []byte("garbage"), 0o644); err != nil {
		t.Fatal(err)
	}
	write("abc", time.Hour)
	if d := digest(); d != abc {
		t.Errorf("after a spoilt memory: %s", d)
	}
	_, err = c.FileDigest(filepath.Dir(path))
	wantFault(t, err, fault.Data, "not a file")
	_, err = c.FileDigest(path + "x")
	wantFault(t, err, fault.Data, "no such file")
}
