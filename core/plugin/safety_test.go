package plugin_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// script writes a program of the shell.
func script(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// Nothing in the working folder is started because of its name, whatever PATH says.
func TestProgramsOfTheWorkingFolderAreNotStarted(t *testing.T) {
	work, bin := t.TempDir(), t.TempDir()
	t.Chdir(work)
	script(t, filepath.Join(work, "interpreter"), "touch "+filepath.Join(work, "started")+"\nexec "+misfit+"\n")
	script(t, filepath.Join(bin, "interpreter"), "exec "+misfit+"\n")
	start := func(path string) error {
		t.Setenv("PATH", path)
		h := plugin.NewHost(func(string) (plugin.Spec, error) {
			return plugin.Spec{Name: "misfit", Command: []string{"interpreter"}}, nil
		}, plugin.Options{})
		defer h.Close()
		_, err := apply(t, h, double, 1)
		if _, missing := os.Stat("started"); missing == nil {
			t.Errorf("with PATH=%s the program of the working folder was started", path)
		}
		return err
	}
	for _, path := range []string{".:" + bin, ":" + bin, "sub/..:" + bin} {
		if err := start(path); err != nil {
			t.Errorf("with PATH=%s the one in PATH is not started: %v", path, err)
		}
	}
	for _, path := range []string{".", "", "::"} {
		isFault(t, start(path), fault.Plugin, "cannot be started")
	}
}

// Folders that depend on the working folder are in none of the lists in which a plugin's own programs and modules are
// looked for, and Python leaves nothing behind in a plugin's folder.
func TestListsOfFoldersAreFixed(t *testing.T) {
	t.Setenv("PATH", ".:"+os.Getenv("PATH")+":")
	t.Setenv("PYTHONPATH", "lib:/somewhere/lib::./more")
	t.Setenv("LD_LIBRARY_PATH", ":")
	h, l := host(t)
	must(apply(t, h, []plugin.Ref{ref("misfit.scale", `{"how": "environment"}`)}, 1))
	for _, want := range []string{"misfit: env PYTHONPATH=/somewhere/lib\n", "misfit: env PYTHONDONTWRITEBYTECODE=1\n"} {
		l.find(t, strings.TrimSuffix(want, "\n"))
		if !strings.Contains(l.String(), want) {
			t.Errorf("%q is not in:\n%s", want, l)
		}
	}
	for line := range strings.Lines(l.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "misfit: env ")), "=")
		if name == "LD_LIBRARY_PATH" {
			t.Errorf("%s is passed", line)
		}
		if name != "PATH" {
			continue
		}
		for _, dir := range filepath.SplitList(value) {
			if !filepath.IsAbs(dir) {
				t.Errorf("%q is in PATH=%s", dir, value)
			}
		}
	}
}

// Python has the folder of its script where it looks for modules, and not the one it works in.
func TestModulesOfTheWorkingFolderAreNotImported(t *testing.T) {
	const python = "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		if os.Getenv("ASTERISM_REQUIRE") != "" {
			t.Fatal("ASTERISM_REQUIRE is set, and there is no " + python)
		}
		t.Skip("Python is not installed")
	}
	work, folder := t.TempDir(), t.TempDir()
	t.Chdir(work)
	t.Setenv("PYTHONPATH", ":")
	t.Setenv("PATH", filepath.Dir(python)+":"+os.Getenv("PATH"))
	for _, name := range []string{"json.py", "helper_of_ours.py"} {
		if err := os.WriteFile(name, []byte("open('imported', 'w')\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text := "import json, os, sys\ntry:\n    import helper_of_ours\nexcept ImportError:\n    pass\nos.execv(sys.argv[1], sys.argv[1:])\n"
	if err := os.WriteFile(filepath.Join(folder, "plugin.py"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "inner.py"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	h := plugin.NewHost(func(string) (plugin.Spec, error) {
		return plugin.Spec{Name: "misfit", Command: []string{"python3", filepath.Join(folder, "plugin.py"), misfit}}, nil
	}, plugin.Options{})
	defer h.Close()
	if _, err := apply(t, h, double, 1); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("imported"); err == nil {
		t.Error("a module of the working folder was imported")
	}
}

// Sockets are where nobody else comes: a folder of others, or one in which others can put theirs, is none for them.
func TestSocketsArePrivate(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	relative := t.TempDir()
	t.Chdir(relative)
	private := filepath.Join(t.TempDir(), "s")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	places := []string{open, ".", "/nowhere"}
	if os.Getuid() == 0 { // only then another's folder can be made
		others := t.TempDir()
		if err := os.Chown(others, 1234, 1234); err != nil {
			t.Fatal(err)
		}
		places = append(places, others)
	}
	for _, place := range places {
		t.Setenv("XDG_RUNTIME_DIR", place)
		t.Setenv("TMPDIR", private)
		h := plugin.NewHost(func(string) (plugin.Spec, error) {
			return plugin.Spec{Name: "misfit", Command: []string{misfit}}, nil
		}, plugin.Options{})
		if _, err := apply(t, h, double, 1); err != nil {
			t.Errorf("with XDG_RUNTIME_DIR=%s: %v", place, err)
		}
		folders, err := filepath.Glob(filepath.Join(private, "asterism-*"))
		if err != nil || len(folders) != 1 {
			t.Errorf("with XDG_RUNTIME_DIR=%s the sockets are not in the next place: %v", place, folders)
		}
		for _, dir := range folders {
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v (%v)", dir, info.Mode(), err)
			}
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Arenas that are files have no name by which another could open them.
func TestArenasHaveNoNames(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	for _, kind := range []string{"", "file"} {
		t.Setenv(protocol.ArenaEnv, kind)
		a, err := protocol.NewArena(1<<16, protocol.PluginWrites)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if path != dir {
				t.Errorf("%s is left", path)
			}
			return err
		})
	}
}
