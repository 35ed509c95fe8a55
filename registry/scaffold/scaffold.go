// Package scaffold writes the first folder of a plugin's author: a plugin with one component that builds and passes the
// conformance kit as it comes.
//
// The plugins that it writes are the folders beside it, one for each kind, called acme there. Each is written in Go and
// in Python.
package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/fault"
)

//go:embed augmentation dataset encoder objective task go python
var templates embed.FS

// Languages and Kinds are what can be chosen.
var (
	Languages = []string{"go", "python"}
	Kinds     = []string{"augmentation", "dataset", "encoder", "objective", "task"}
)

// components are the names that the components have in the templates.
var components = map[string]string{"augmentation": "gain", "dataset": "folder", "encoder": "small", "objective": "spread", "task": "centroid"}

// programs are the names of the files with the component.
var programs = map[string]string{"go": "main.go", "python": "plugin.py"}

// SDKFolder is where a plugin in Go finds the SDK's source.
const SDKFolder = "asterism-sdk"

// SDK is what a plugin in Go needs to build.
type SDK struct {
	Files        fs.FS                                         // its source
	Module       func() (mod, sum []byte)                      // its go.mod and go.sum
	PluginModule func(module, folder string) (mod, sum []byte) // those of a plugin that finds it in a folder
}

// Plan is what is to be written.
type Plan struct {
	Language string
	Kind     string
	Dir      string   // its last element is the plugin's name
	Taken    []string // names that other plugins have
	SDK      SDK
}

// Written is what was written.
type Written struct {
	Dir       string `json:"dir"`
	Program   string `json:"program"`   // the file to edit
	Component string `json:"component"` // "acme.gain"
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Write writes the folder, or nothing.
func (p Plan) Write() (*Written, error) {
	if err := choose("--lang", p.Language, Languages); err != nil {
		return nil, err
	}
	if err := choose("--kind", p.Kind, Kinds); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return nil, unwritable(p.Dir, err)
	}
	parent, name := filepath.Split(dir)
	if !nameForm.MatchString(name) {
		return nil, mistake(fmt.Sprintf("%q cannot be the name of a plugin", name), "begin with a lower-case letter, and go on with lower-case letters, digits and _")
	}
	if slices.Contains(p.Taken, name) {
		return nil, mistake(fmt.Sprintf("there is a plugin %q already, in this binary", name), "choose another name")
	}
	if info, err := os.Stat(parent); err != nil || !info.IsDir() {
		return nil, mistake(fmt.Sprintf("there is no folder %s to put it into", filepath.Dir(p.Dir)), "make it first")
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, mistake(p.Dir+" is there already, and is not a folder", "choose another name")
	case len(entries) > 0:
		return nil, mistake("the folder "+p.Dir+" is there already, and is not empty", "choose another name, or take out what is in it")
	}
	files, err := p.files(name)
	if err != nil {
		return nil, err
	}
	if err := place(files, parent, dir); err != nil {
		return nil, err
	}
	return &Written{Dir: p.Dir, Program: filepath.Join(p.Dir, programs[p.Language]), Component: name + "." + components[p.Kind]}, nil
}

// files gives what belongs into the folder, by slash-separated name.
func (p Plan) files(name string) (map[string][]byte, error) {
	files := map[string][]byte{}
	rename := strings.NewReplacer("acme.gain", name+"."+components[p.Kind], "acme", name, "Acme", strings.ToUpper(name[:1])+name[1:])
	for _, template := range []string{p.Kind, p.Language} {
		err := fs.WalkDir(templates, template, func(file string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			if slices.Contains([]string{"main.go", "plugin.py"}, e.Name()) && e.Name() != programs[p.Language] {
				return nil
			}
			text, err := templates.ReadFile(file)
			if err != nil {
				return err
			}
			to := strings.TrimSuffix(strings.TrimPrefix(file, template+"/"), ".txt") // a test that is none of ours
			if to == "gitignore" {
				to = "." + to
			}
			files[to] = []byte(rename.Replace(string(text)))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if p.Language != "go" {
		return files, nil
	}
	files["go.mod"], files["go.sum"] = p.SDK.PluginModule("example.com/"+name, SDKFolder)
	files[SDKFolder+"/go.mod"], files[SDKFolder+"/go.sum"] = p.SDK.Module()
	err := fs.WalkDir(p.SDK.Files, ".", func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		files[path.Join(SDKFolder, file)], err = fs.ReadFile(p.SDK.Files, file)
		return err
	})
	return files, err
}

// place writes files to a folder of their own in parent, and from there to dir: all or nothing.
func place(files map[string][]byte, parent, dir string) (err error) {
	room, err := os.MkdirTemp(parent, ".asterism-new-")
	if err != nil {
		return unwritable(parent, err)
	}
	defer os.RemoveAll(room)
	for name, text := range files {
		file := filepath.Join(room, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return unwritable(file, err)
		}
		if err := os.WriteFile(file, text, 0o666); err != nil {
			return unwritable(file, err)
		}
	}
	if err := os.Mkdir(dir, 0o777); err == nil {
		defer func() {
			if err != nil {
				os.Remove(dir)
			}
		}()
	} else if !errors.Is(err, fs.ErrExist) {
		return unwritable(dir, err)
	}
	entries, err := os.ReadDir(room)
	if err != nil {
		return unwritable(room, err)
	}
	for i, e := range entries {
		if err := os.Rename(filepath.Join(room, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			for _, moved := range entries[:i] {
				os.RemoveAll(filepath.Join(dir, moved.Name()))
			}
			return unwritable(dir, err)
		}
	}
	return nil
}

// choose says what can be chosen.
func choose(flag, given string, choices []string) error {
	if slices.Contains(choices, given) {
		return nil
	}
	is := strings.Join(choices[:len(choices)-1], ", ") + " or " + choices[len(choices)-1]
	if given == "" {
		return mistake(flag+" is missing", "choose "+is)
	}
	do := "choose " + is
	if near := fault.Nearest(given, choices); near != "" {
		do = fmt.Sprintf("did you mean %s? Otherwise %s", near, do)
	}
	return mistake(fmt.Sprintf("%s %s is none that there is", flag, given), do)
}

func mistake(what, do string) error {
	return &fault.Error{Op: "plugin new", Kind: fault.Config, What: what, Do: do}
}

func unwritable(path string, err error) error {
	return &fault.Error{Op: "plugin new", Kind: fault.Resource, What: "cannot write " + path, Err: err, Do: "see that the disk has room and that you may write there"}
}
