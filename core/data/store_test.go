package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

func TestGatherAnyRows(t *testing.T) {
	for _, dtype := range []protocol.DType{u8, f32} {
		d := dataset(dtype, 0.5, "gri", 3, 5)
		if dtype == f32 {
			d.catalogue.Scale = 1
		}
		var want [][]float32
		for i := range 101 {
			px := make([]float32, 45)
			for k := range px {
				px[k] = float32((i*37 + k*11) % 256)
			}
			d.add(fmt.Sprint(i), nil, px...)
			w := make([]float32, 45)
			for k, v := range px {
				w[k] = float32(d.catalogue.Scale) * v
			}
			want = append(want, w)
		}
		s, _ := stored(t, Frame{}, Options{batchBytes: 700, shardBytes: 3000}, d)
		rapid.Check(t, func(t *rapid.T) {
			rows := rapid.SliceOfN(rapid.IntRange(0, 100), 0, 40).Draw(t, "rows")
			dst := make([]float32, 45*len(rows))
			if err := s.Gather(dst, rows); err != nil {
				t.Fatal(err)
			}
			for i, r := range rows {
				if !slices.Equal(dst[i*45:][:45], want[r]) {
					t.Fatalf("row %d: %v, not %v", r, dst[i*45:][:45], want[r])
				}
			}
		})
		dst, rows := make([]float32, 45*64), make([]int, 64)
		for i := range rows {
			rows[i] = i * 13 % 101
		}
		if n := testing.AllocsPerRun(100, func() { s.Gather(dst, rows) }); n != 0 {
			t.Errorf("gathering allocates %g times", n)
		}
	}
}

func TestGatherRefusesWhatIsNotThere(t *testing.T) {
	s, _ := stored(t, Frame{}, Options{}, many(10))
	dst := make([]float32, 64)
	wantFault(t, s.Gather(dst, []int{0, 10}), fault.Internal, "row 10", "10 rows")
	wantFault(t, s.Gather(dst, []int{-1, 0}), fault.Internal, "row -1")
	wantFault(t, s.Gather(dst, []int{1}), fault.Internal, "64")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantFault(t, s.Gather(dst, []int{0, 1}), fault.Internal, "closed")
	_, err := Statistics(s, []int{0})
	wantFault(t, err, fault.Internal, "closed")
	wantFault(t, s.Verify(context.Background()), fault.Internal, "closed")
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestGatherWhileClosing(t *testing.T) {
	s, _ := stored(t, Frame{}, Options{}, many(50))
	want := gathered(t, s, 7, 3)
	var wait sync.WaitGroup
	for range 4 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			dst := make([]float32, 64)
			for {
				if err := s.Gather(dst, []int{7, 3}); err != nil {
					return // closed
				}
				if !slices.Equal(dst, want) {
					t.Error("another sample was gathered")
					return
				}
			}
		}()
	}
	s.Close()
	wait.Wait()
}

func TestOpenFindsWhatIsSpoilt(t *testing.T) {
	dir, _, err := ingest(t, Frame{}, Options{batchBytes: 2000, shardBytes: 4000}, many(300))
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) < 4 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		whole := []byte(read(t, name))
		n := len(whole)
		flip := func(at int) []byte { b := bytes.Clone(whole); b[at] ^= 0x10; return b }
		for what, spoilt := range map[string][]byte{
			"cut by a byte": whole[:n-1], "cut by half": whole[:n/2], "empty": {}, "missing": nil, "longer": append(bytes.Clone(whole), 0),
			"changed at the start": flip(9), "changed at the end": flip(n - 8), "changed near the end": flip(n - 100), "zeros": make([]byte, n),
		} {
			file := filepath.Base(name)
			if spoilt == nil {
				os.Remove(name)
			} else if err := os.WriteFile(name, spoilt, 0o644); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir)
			if err == nil {
				s.Close()
				t.Errorf("%s %s: it opens", file, what)
			} else {
				wantFault(t, err, fault.Data, file, dir, "run the experiment again")
			}
		}
		if err := os.WriteFile(name, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(filepath.Join(dir, "nothing")); err == nil {
		t.Error("a folder that is not there opens")
	}
}

func TestVerifyFindsAChangedPixel(t *testing.T) {
	dir, _, err := ingest(t, Frame{}, Options{}, many(300))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "pixels-00000.arrow")
	b := []byte(read(t, name))
	b[len(b)/2] ^= 1
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantFault(t, s.Verify(context.Background()), fault.Data, dir, "digest")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wantFault(t, s.Verify(ctx), fault.Cancelled)
}

// A file that shrinks while it is mapped must end in an error, not in a signal that kills the process.
func TestFileThatShrinksInUse(t *testing.T) {
	d := dataset(f32, 1, "g", 64, 64)
	for i := range 64 {
		d.add(fmt.Sprint(i), nil, make([]float32, 4096)...)
	}
	s, _ := stored(t, Frame{}, Options{}, d)
	if err := os.Truncate(filepath.Join(s.dir, "pixels-00000.arrow"), 4096); err != nil {
		t.Fatal(err)
	}
	dst := make([]float32, 4096)
	wantFault(t, s.Gather(dst, []int{63}), fault.Resource, "cannot be read")
	_, err := Statistics(s, []int{60, 61})
	wantFault(t, err, fault.Resource, "cannot be read")
	wantFault(t, s.Verify(context.Background()), fault.Resource, "cannot be read")
}

func FuzzOpen(f *testing.F) {
	seed, _, err := ingest(f, Frame{}, Options{batchBytes: 500, shardBytes: 900}, many(40))
	if err != nil {
		f.Fatal(err)
	}
	files := map[string][]byte{}
	var names []string
	err = filepath.WalkDir(seed, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, filepath.Base(path))
			files[filepath.Base(path)] = []byte(read(f, path))
		}
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	for i := range names {
		f.Add(i, 40, []byte("\xff\xff\xff\x7f"), false)
		f.Add(i, len(files[names[i]])-20, []byte{0, 1, 2}, true)
		f.Add(i, 0, []byte{}, true)
	}
	f.Fuzz(func(t *testing.T, which, at int, with []byte, cut bool) {
		dir := t.TempDir()
		name := names[abs(which)%len(names)]
		b := bytes.Clone(files[name])
		at = abs(at) % len(b)
		copy(b[at:], with)
		if cut {
			b = b[:min(len(b), at+len(with))]
		}
		doc := files["store.json"]
		if name == "store.json" {
			doc = b
		}
		for n, whole := range files {
			if n == name {
				whole = b
			}
			os.WriteFile(filepath.Join(dir, n), whole, 0o644)
		}
		// Put the checks right, so that what stands behind them is tested too.
		x := new(index)
		if json.Unmarshal(doc, x) == nil {
			if name == x.Objects.File {
				sum := sha256.Sum256(b)
				x.Objects.Size, x.Objects.SHA256 = int64(len(b)), hex.EncodeToString(sum[:])
			}
			for i := range x.Pixels {
				if x.Pixels[i].File == name {
					x.Pixels[i].Size = int64(len(b))
				}
			}
			if doc, err := x.encode(); err == nil {
				os.WriteFile(filepath.Join(dir, "store.json"), doc, 0o644)
			}
		}
		s, err := Open(dir)
		if err != nil {
			return
		}
		defer s.Close()
		rows := make([]int, min(s.Len(), 64))
		for i := range rows {
			rows[i] = s.Len() - 1 - i
		}
		if err := s.Gather(make([]float32, s.length*len(rows)), rows); err != nil {
			t.Errorf("what opens cannot be gathered: %v", err)
		}
		s.Verify(context.Background()) // finds most of it
	})
}

func abs(n int) int {
	if n < 0 {
		n = -(n + 1)
	}
	return n
}

func TestStringOfColumnsStays(t *testing.T) {
	s, _ := stored(t, Frame{}, Options{}, many(20))
	s.Close()
	if s.ID(19) != "obj19" {
		t.Errorf("id %q after closing", s.ID(19))
	}
	c, _ := s.Column("tile")
	if !slices.IsSorted(c.Categories) || strings.Join(c.Categories[:2], " ") != "tile0 tile1" {
		t.Errorf("categories %v", c.Categories)
	}
}
