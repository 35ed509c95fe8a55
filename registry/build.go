package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// describing bounds how long a plugin may take to describe itself: an interpreter may have much to import.
const describing = 2 * time.Minute

// Build makes a plugin ready to be started, in the folder into, which is new or empty. Dir is one of
//
//   - a folder with a plugin.json: it is copied, without hidden files and what Python caches;
//   - a folder with a go.mod: the program in it is built, without cgo; what is told and the tests stay behind;
//   - a folder with a plugin.py: it is copied, without hidden files, caches and tests. Where it does not bring a
//     Python SDK of its own, python, a folder that holds the package asterism_plugin, is copied beside it.
//
// The description of the last two is what the plugin itself says when it is run with the argument describe. A folder
// that Build has made holds a plugin.json, the schemas of the components under schema, and SHA256SUMS of all its files;
// equal sources give equal folders.
func Build(ctx context.Context, dir, into string, python fs.FS) (*Plugin, error) {
	p, err := build(ctx, dir, into, python)
	return p, inSource(err, into, dir)
}

// inSource says of a folder that is not for long what is wrong in what it came from.
func inSource(err error, folder, source string) error {
	for _, e := range fault.All(err) {
		if rest, ok := strings.CutPrefix(e.Where, folder); ok {
			e.Where = source + rest
		}
		e.Log = strings.ReplaceAll(e.Log, folder, source)
	}
	return err
}

func build(ctx context.Context, dir, into string, python fs.FS) (*Plugin, error) {
	has := func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.Mode().IsRegular()
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, &fault.Error{Kind: fault.Config, What: dir + " is not a folder", Do: "name the folder of a plugin"}
	}
	if err := os.MkdirAll(into, 0o777); err != nil {
		return nil, unwritable(into, err)
	}
	if entries, err := os.ReadDir(into); err != nil || len(entries) > 0 {
		return nil, &fault.Error{Kind: fault.Config, What: "the folder " + into + " is not empty", Err: err, Do: "name a new one"}
	}
	var err error
	switch {
	case has(manifestFile):
		err = copyTree(dir, into, ready)
	case has("go.mod"):
		err = buildGo(ctx, dir, into)
	case has("plugin.py"):
		err = buildPython(ctx, dir, into, python)
	default:
		err = &fault.Error{Kind: fault.Config, What: "there is no plugin in " + dir, Do: "name a folder with a plugin.json, or an author's: with a go.mod, or a plugin.py"}
	}
	if err != nil {
		return nil, err
	}
	p, err := releasable(into)
	if err != nil {
		return nil, err
	}
	if err := complete(p); err != nil {
		return nil, err
	}
	p.Digest, err = digestOf(p.Dir, p.Name)
	return p, err
}

// buildGo compiles the module in dir.
func buildGo(ctx context.Context, dir, into string) error {
	room, err := os.MkdirTemp("", "asterism-build-")
	if err != nil {
		return unwritable(os.TempDir(), err)
	}
	defer os.RemoveAll(room)
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", room+string(filepath.Separator), ".")
	c.Dir = dir
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	if said, err := c.CombinedOutput(); err != nil {
		f := &fault.Error{Kind: fault.Plugin, What: "the Go plugin in " + dir + " does not build", Err: err, Log: string(said), Do: "what the compiler said is below; try go build there"}
		if errors.Is(err, exec.ErrNotFound) {
			f.Kind, f.What, f.Err, f.Do = fault.Config, "the plugin in "+dir+" is Go source, and there is no go in PATH", nil, "install Go (https://go.dev/dl), or ask the author for a packed plugin"
		}
		return f
	}
	built, err := os.ReadDir(room)
	if err != nil || len(built) != 1 {
		return &fault.Error{Kind: fault.Plugin, What: "go build made no program of " + dir, Err: err, Do: "the folder of the go.mod holds the package main of the plugin"}
	}
	program := filepath.Join(room, built[0].Name())
	description, err := describe(ctx, dir, room, []string{program}, "try there: go run . describe")
	if err != nil {
		return err
	}
	if err := copyTree(dir, into, toldOf); err != nil {
		return err
	}
	if err := copyFile(program, filepath.Join(into, description.name), 0o777); err != nil {
		return err
	}
	return description.write(into, []string{"./" + description.name}, platform())
}

// pythonSDK is the package that Python plugins import.
const pythonSDK = "asterism_plugin"

// buildPython copies the plugin in dir and has it describe itself.
func buildPython(ctx context.Context, dir, into string, sdk fs.FS) error {
	if err := copyTree(dir, into, pythonSource); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(into, pythonSDK)); errors.Is(err, fs.ErrNotExist) {
		if err := copyFS(sdk, into); err != nil {
			return err
		}
	}
	command := []string{"python3", "./plugin.py"}
	description, err := describe(ctx, dir, into, command, "it was run as python3 ./plugin.py describe, and what it printed is below")
	if err != nil {
		return err
	}
	return description.write(into, command, "")
}

// description is what a plugin says of itself.
type description struct {
	name   string
	fields map[string]json.RawMessage
}

// describe runs a plugin, in a folder, with the argument describe. What it prints before its description is ignored; the
// advice is for one that fails.
func describe(ctx context.Context, source, in string, command []string, advice string) (*description, error) {
	ctx, cancel := context.WithTimeout(ctx, describing)
	defer cancel()
	c := exec.CommandContext(ctx, protocol.Executable(command[0]), append(command[1:], "describe")...)
	var out, said bytes.Buffer
	c.Dir, c.Stdout, c.Stderr, c.WaitDelay = in, &out, &said, time.Second
	c.Env = protocol.Environment(nil) // as in a run: whoever installs a plugin does not give it more than that
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	if err := c.Run(); err != nil {
		f := &fault.Error{Kind: fault.Plugin, What: "the plugin in " + source + " does not describe itself", Err: err, Log: said.String(), Do: advice}
		switch {
		case errors.Is(err, exec.ErrNotFound):
			f.Kind, f.What, f.Err, f.Do = fault.Config, "there is no "+command[0]+" in PATH, which the plugin in "+source+" needs", nil, "install it"
		case ctx.Err() == context.DeadlineExceeded:
			f.Err = fmt.Errorf("no answer for %v", describing)
		}
		return nil, f
	}
	for text := out.Bytes(); ; {
		d := &description{}
		if json.Unmarshal(text, &d.fields) == nil && json.Unmarshal(d.fields["name"], &d.name) == nil && nameForm.MatchString(d.name) {
			return d, nil
		}
		i := bytes.Index(text, []byte("\n"))
		if i < 0 {
			break
		}
		text = text[i+1:]
	}
	return nil, &fault.Error{Kind: fault.Plugin, What: "what the plugin in " + source + " says of itself is not a description", Log: out.String() + said.String(), Do: "run with the argument describe it prints its plugin.json, and nothing after; the SDK does this where a plugin in Python ends with asterism.serve(NAME, VERSION), and one in Go calls sdk.Serve"}
}

// write writes plugin.json.
func (d *description) write(into string, command []string, platform string) error {
	delete(d.fields, "platform")
	for field, value := range map[string]any{"command": command, "platform": platform} {
		if value == "" {
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		d.fields[field] = text
	}
	text, err := json.MarshalIndent(d.fields, "", "  ") // sorted: the same for the same description
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(into, manifestFile), append(text, '\n'), 0o666); err != nil {
		return unwritable(into, err)
	}
	return nil
}

// Which files of an author's folder belong to a plugin.

// hidden says whether a file or folder is left out of every plugin: hidden ones, and what Python caches.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || name == "__pycache__" || strings.HasSuffix(name, ".pyc")
}

// staysBehind says so of a path.
func staysBehind(path string) bool { return slices.ContainsFunc(strings.Split(path, "/"), hidden) }

func ready(_ string, e fs.DirEntry) bool { return !hidden(e.Name()) }

func toldOf(path string, e fs.DirEntry) bool {
	name := e.Name()
	return !hidden(name) && !strings.Contains(path, "/") && !e.IsDir() && (strings.HasPrefix(name, "README") || strings.HasPrefix(name, "LICENSE") || strings.HasSuffix(name, ".cue"))
}

func pythonSource(_ string, e fs.DirEntry) bool {
	name := e.Name()
	if e.IsDir() {
		return !hidden(name) && name != "tests" && name != "testdata" && !strings.HasSuffix(name, ".egg-info")
	}
	return !hidden(name) && !strings.HasPrefix(name, "test_") && !strings.HasSuffix(name, "_test.py")
}
