// Package torch reads PyTorch's files of weights (.pth, .pt, .pth.tar) and executes nothing in them.
//
//	f, err := torch.Open("moco_v2.pth.tar")
//	for _, t := range f.Tensors {
//		fmt.Println(t.Name, t.Shape) // state_dict.module.encoder_q.conv1.weight [64 3 7 7]
//	}
//
// Such a file is a pickle, a program for a machine with a stack, beside the values of its tensors. Pickles may call any
// function of Python by name; here a few are known, none is called, and a file that names another is refused. Values stay
// in the file until they are asked for, and no file, however odd, takes much more memory than its size.
//
// Both of PyTorch's formats are read: the zip of 1.6 and later, and the row of pickles of 0.2 to 1.5.
package torch

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"

	"github.com/asterism-ssl/asterism/core/fault"
)

// File is an open file of weights.
type File struct {
	// Tensors are the tensors of the file, sorted by name: those of nested dictionaries too, the optimiser's for example.
	Tensors []*Tensor
	file    *os.File
	// The storage that was read last: a few tensors may be parts of one.
	last   *storage
	values []byte
}

// Open opens a file of weights, and reads its names and shapes.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unread(path, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, unread(path, err)
	}
	file, err := read(f, info.Size())
	if err != nil {
		f.Close()
		return nil, unread(path, err)
	}
	file.file = f
	return file, nil
}

// Close closes the file; values cannot be read afterwards.
func (f *File) Close() error { return f.file.Close() }

func unread(path string, err error) error {
	e := &fault.Error{Op: "read", Kind: fault.Data, What: "cannot read " + path, Err: err, Do: "give a file that PyTorch's torch.save wrote, whole"}
	var foreign foreignError
	switch {
	case errors.As(err, &foreign):
		e.Do = "where you trust the file, load it with PyTorch and save its state dictionary alone: torch.save(model.state_dict(), …)"
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		e.Do = "check the path"
	}
	return e
}

// Known says whether a file may be PyTorch's, from its first bytes.
func Known(head []byte) bool {
	return strings.HasPrefix(string(head), zipHead) || strings.HasPrefix(string(head), magic)
}

const (
	zipHead = "PK\x03\x04"
	// magic is PyTorch's number 0x1950a86a20f9469cfc6c as a pickle of its own; the protocol's number follows, 1001.
	magic = "\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
)

func read(r io.ReaderAt, size int64) (*File, error) {
	head := make([]byte, 512)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	head = head[:n]
	switch {
	case strings.HasPrefix(string(head), zipHead):
		return readZip(r, size)
	case strings.HasPrefix(string(head), magic):
		return readPickles(r, size)
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return nil, errors.New("it is a tar, as PyTorch wrote before version 0.2: load it with PyTorch and save it again")
	}
	return nil, errors.New("it does not begin as PyTorch's files do")
}

// readZip reads an archive with the pickle data.pkl and a file of values for each storage.
func readZip(r io.ReaderAt, size int64) (*File, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	entries := map[string]*zip.File{}
	var pickle *zip.File
	for _, e := range archive.File {
		entries[e.Name] = e
		if path.Base(e.Name) == "data.pkl" {
			pickle = e
		}
	}
	if pickle == nil {
		return nil, errors.New("it is a zip without data.pkl")
	}
	folder := path.Dir(pickle.Name)
	if e := entries[path.Join(folder, "byteorder")]; e != nil {
		b, err := stored(e, 16)
		if err != nil {
			return nil, err
		}
		if string(b) != "little" {
			return nil, fmt.Errorf("its values are in the byte order %q", b)
		}
	}
	text, err := stored(pickle, size)
	if err != nil {
		return nil, err
	}
	file := new(File)
	in := newInput(strings.NewReader(string(text)), int64(len(text)))
	root, err := unpickle(in, func(id tuple) (*storage, error) {
		s, err := storageOf(file, id, 5)
		if err != nil {
			return nil, err
		}
		e := entries[path.Join(folder, "data", s.key)]
		if e == nil {
			return nil, fmt.Errorf("the values of storage %q are missing", s.key)
		}
		if e.UncompressedSize64 != uint64(s.bytes()) {
			return nil, fmt.Errorf("storage %q has %d bytes instead of %d", s.key, e.UncompressedSize64, s.bytes())
		}
		s.read = func() ([]byte, error) { return stored(e, size) }
		return s, nil
	})
	if err != nil {
		return nil, err
	}
	return file, file.collect(root)
}

// stored reads a file of the archive of at most so many bytes. PyTorch does not compress, and what is not compressed
// takes no more memory than the archive.
func stored(e *zip.File, most int64) ([]byte, error) {
	if e.Method != zip.Store || e.UncompressedSize64 > uint64(most) || e.UncompressedSize64 != e.CompressedSize64 {
		return nil, fmt.Errorf("its part %s is compressed, or larger than the file", e.Name)
	}
	f, err := e.Open()
	if err != nil {
		return nil, fmt.Errorf("its part %s: %w", e.Name, err)
	}
	defer f.Close()
	b := make([]byte, e.UncompressedSize64)
	if _, err = io.ReadFull(f, b); err == nil {
		_, err = io.Copy(io.Discard, f) // to the end, where the checksum is compared
	}
	if err != nil {
		return nil, fmt.Errorf("its part %s is damaged: %w", e.Name, err)
	}
	return b, nil
}

// readPickles reads a row of pickles (the magic number, the protocol, facts about the machine, what was saved, the keys of
// the storages) and then, for each key, the number of values and the values.
func readPickles(r io.ReaderAt, size int64) (*File, error) {
	none := func(tuple) (*storage, error) { return nil, errors.New("a tensor where none belongs") }
	in := newInput(io.NewSectionReader(r, int64(len(magic)), size-int64(len(magic))), size-int64(len(magic)))
	version, err := unpickle(in, none)
	if err != nil {
		return nil, err
	}
	if version != int64(1001) {
		return nil, fmt.Errorf("it is of the protocol %v, and 1001 is known", version)
	}
	system, err := unpickle(in, none)
	if err != nil {
		return nil, err
	}
	if d, ok := system.(*dict); ok && d.get("little_endian") == false {
		return nil, errors.New("its values are in the byte order of another machine")
	}
	file := new(File)
	storages := map[string]*storage{}
	root, err := unpickle(in, func(id tuple) (*storage, error) {
		s, err := storageOf(file, id, 6)
		if err != nil {
			return nil, err
		}
		if id[5] != nil {
			return nil, fmt.Errorf("storage %q is a view of another, as PyTorch wrote before version 0.4: load it with PyTorch and save it again", s.key)
		}
		if known := storages[s.key]; known != nil {
			if known.kind != s.kind || known.count != s.count {
				return nil, fmt.Errorf("storage %q is named twice, differently", s.key)
			}
			return known, nil
		}
		storages[s.key] = s
		return s, nil
	})
	if err != nil {
		return nil, err
	}
	keys, err := unpickle(in, none)
	if err != nil {
		return nil, err
	}
	order, _ := keys.(*list)
	if order == nil {
		return nil, errors.New("the keys of its storages are missing")
	}
	at := int64(len(magic)) + in.consumed
	for _, k := range order.items {
		key, _ := k.(string)
		s := storages[key]
		if s == nil || s.read != nil {
			return nil, fmt.Errorf("its storage %q is unknown, or there twice", key)
		}
		var count [8]byte
		if _, err := r.ReadAt(count[:], at); err != nil {
			return nil, fmt.Errorf("the values of storage %q are missing", key)
		}
		if n := int64(binary.LittleEndian.Uint64(count[:])); n != s.count || s.bytes() > size-at-8 {
			return nil, fmt.Errorf("storage %q has not the %d values that it should have", key, s.count)
		}
		begin := at + 8
		s.read = func() ([]byte, error) {
			b := make([]byte, s.bytes())
			_, err := r.ReadAt(b, begin)
			if err == io.EOF && s.bytes() == size-begin {
				err = nil
			}
			return b, err
		}
		at = begin + s.bytes()
	}
	for _, s := range storages {
		if s.read == nil {
			return nil, fmt.Errorf("the values of storage %q are missing", s.key)
		}
	}
	return file, file.collect(root)
}

// Limits that no file of weights meets, and that keep a small pickle from describing a huge tree of names.
const (
	maxDepth = 32
	maxNodes = 1 << 20
	maxNames = 1 << 26 // bytes
)

// collect finds the tensors in what was saved: nested dictionaries and lists, of which everything else is left.
func (f *File) collect(root any) error {
	found := map[string]*Tensor{}
	nodes, names := 0, 0
	var walk func(value any, at []string) error
	walk = func(value any, at []string) error {
		if nodes++; nodes > maxNodes || names > maxNames || len(at) > maxDepth {
			return fmt.Errorf("it is nested deeper than %d, or has more than %d values", maxDepth, maxNodes)
		}
		switch v := value.(type) {
		case *Tensor:
			t := *v
			t.Name = strings.Join(at, ".")
			names += len(t.Name)
			found[t.Name] = &t // as in Python, the last of a name stays
		case *dict:
			for _, e := range v.entries {
				key, ok := e.key.(string)
				if n, number := e.key.(int64); number {
					key, ok = strconv.FormatInt(n, 10), true
				}
				if ok {
					if err := walk(e.value, append(at, key)); err != nil {
						return err
					}
				}
			}
		case *list:
			for i, e := range v.items {
				if err := walk(e, append(at, strconv.Itoa(i))); err != nil {
					return err
				}
			}
		case tuple:
			return walk(&list{v}, at)
		}
		return nil
	}
	if err := walk(root, nil); err != nil {
		return err
	}
	for _, t := range found {
		f.Tensors = append(f.Tensors, t)
	}
	sort.Slice(f.Tensors, func(i, j int) bool { return f.Tensors[i].Name < f.Tensors[j].Name })
	return nil
}
