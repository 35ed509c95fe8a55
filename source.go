// Package asterism carries the source of what authors of plugins import, so that the binary can write a plugin that
// builds where it was built itself, and can complete a plugin in Python, without a network.
package asterism

import (
	"embed"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// The patterns that end in a name take files that begin with _ along, which a folder alone does not.
//
//go:embed LICENSE go.mod go.sum
//go:embed core/key/*.go core/kernel/*.go core/kernel/*.s core/kernel/nearest/*.go core/protocol/*.go core/protocol/*.md core/protocol/*.proto
//go:embed plugins/sdk/*.go plugins/sdk/labels/*.go plugins/sdk/npz/*.go plugins/sdk/regress/*.go plugins/sdk/sdktest/*.go
//go:embed plugins/sdk/python/asterism_plugin/*.py
var files embed.FS

// python is where the Python SDK lies; the Go SDK does without.
const python = "plugins/sdk/python"

// GoSDK gives the Go SDK and the packages of ours that it imports, without tests, as they lie in this module. With
// SDKModule's go.mod and go.sum it is a module of its own.
func GoSDK() fs.FS {
	return carried{files, func(name string) bool {
		return name != "go.mod" && name != "go.sum" && name != python && !strings.HasPrefix(name, python+"/") && !strings.HasSuffix(name, "_test.go")
	}}
}

// PythonSDK gives a folder that holds the Python package asterism_plugin.
func PythonSDK() fs.FS {
	sub, err := fs.Sub(files, python)
	if err != nil {
		panic(err) // the folder is named here
	}
	return sub
}

// carried is a part of the files.
type carried struct {
	all     embed.FS
	belongs func(name string) bool
}

// Open opens a file. Folders are listed by ReadDir.
func (c carried) Open(name string) (fs.File, error) {
	if fs.ValidPath(name) && !c.belongs(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return c.all.Open(name)
}

// ReadDir lists a folder.
func (c carried) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := c.all.ReadDir(name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !c.belongs(path.Join(name, e.Name())) }), err
}

// needed are the modules that the Go SDK's packages need, on every platform. Their versions stand in go.mod.
var needed = []string{
	"cuelang.org/go",
	"github.com/cockroachdb/apd/v3",
	"github.com/emicklei/proto",
	"github.com/fatih/color",
	"github.com/golang/protobuf",
	"github.com/google/uuid",
	"github.com/hashicorp/go-hclog",
	"github.com/hashicorp/go-plugin",
	"github.com/hashicorp/yamux",
	"github.com/mattn/go-colorable",
	"github.com/mattn/go-isatty",
	"github.com/mitchellh/go-wordwrap",
	"github.com/oklog/run",
	"github.com/pelletier/go-toml/v2",
	"github.com/protocolbuffers/txtpbfmt",
	"go.yaml.in/yaml/v3",
	"golang.org/x/net",
	"golang.org/x/sys",
	"golang.org/x/text",
	"golang.org/x/tools",
	"gonum.org/v1/gonum",
	"google.golang.org/genproto/googleapis/rpc",
	"google.golang.org/grpc",
	"google.golang.org/protobuf",
}

// SDKModule gives the go.mod and the go.sum of GoSDK: our own, with what the SDK needs and nothing else, in the same
// versions, so that what building Asterism has downloaded suffices.
func SDKModule() (mod, sum []byte) {
	ours, sums := own()
	m := newModule(ours.Module.Mod.Path, ours.Go.Version)
	m.SetRequireSeparateIndirect(requirements(ours, true))
	return written(m), sums
}

// PluginModule gives the go.mod and the go.sum of a plugin, the module path, that finds GoSDK in the folder sdk.
func PluginModule(path, sdk string) (mod, sum []byte) {
	ours, sums := own()
	m := newModule(path, ours.Go.Version)
	self := ours.Module.Mod.Path
	m.SetRequireSeparateIndirect(append(requirements(ours, false), &modfile.Require{Mod: module.Version{Path: self, Version: "v0.0.0"}}))
	if err := m.AddReplace(self, "", "./"+sdk, ""); err != nil {
		panic(err) // a folder's name
	}
	return written(m), sums
}

// own gives our go.mod, and of our go.sum what the SDK needs.
func own() (*modfile.File, []byte) {
	text, err := files.ReadFile("go.mod")
	if err != nil {
		panic(err) // it is embedded
	}
	ours, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		panic(err) // this module was built with it
	}
	all, err := files.ReadFile("go.sum")
	if err != nil {
		panic(err)
	}
	var sums strings.Builder
	for line := range strings.Lines(string(all)) {
		if path, _, _ := strings.Cut(line, " "); slices.Contains(needed, path) {
			sums.WriteString(line)
		}
	}
	return ours, []byte(sums.String())
}

func newModule(path, goVersion string) *modfile.File {
	m := &modfile.File{}
	if err := m.AddModuleStmt(path); err != nil {
		panic(err) // names are checked before
	}
	if err := m.AddGoStmt(goVersion); err != nil {
		panic(err)
	}
	return m
}

// requirements are those of ours that the SDK needs: direct where its own code imports them and direct is set.
func requirements(ours *modfile.File, direct bool) []*modfile.Require {
	var list []*modfile.Require
	for _, r := range ours.Require {
		if slices.Contains(needed, r.Mod.Path) {
			list = append(list, &modfile.Require{Mod: r.Mod, Indirect: r.Indirect || !direct})
		}
	}
	return list
}

func written(m *modfile.File) []byte {
	m.Cleanup()
	text, err := m.Format()
	if err != nil {
		panic(err) // it was just made
	}
	return text
}
