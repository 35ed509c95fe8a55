//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInit writes a first experiment for a folder of pictures and runs it as it comes, but for the number of its epochs.
func TestInit(t *testing.T) {
	dir := t.TempDir()
	table := "\ufeffname;kind;size;ra;note\n"
	for i := range 80 {
		put(t, filepath.Join(dir, "my pictures", fmt.Sprintf("p%02d.png", i)), encoded(t, drawn(i%40, 24, 20)))
		table += fmt.Sprintf("p%02d;%s;%d.5;%d;note %d\n", i, []string{"disk", "bar"}[i%2], i, 3*i, i)
	}
	put(t, filepath.Join(dir, "catalogue.csv"), []byte(table))
	asterism := func(args ...string) (string, error) {
		out, err := command(t, dir, append([]string{"--progress", "none"}, args...)...).CombinedOutput()
		return string(out), err
	}
	out, err := asterism("init", "my pictures")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"my-pictures.cue: 80 images of 20×24 pixels in 3 bands; it asks for kind, size of catalogue.csv", "asterism run my-pictures.cue"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not said: %s", want, out)
		}
	}
	if out, err = asterism("run", "my-pictures.cue", "--set", "train.epochs=1"); err != nil {
		t.Fatalf("the experiment does not run: %v: %s", err, out)
	}
	for _, want := range []string{"kind", "accuracy", "size", "R²", "alike"} {
		if !strings.Contains(out, want) {
			t.Errorf("the results have no %s: %s", want, out)
		}
	}
	put(t, filepath.Join(dir, "other.csv"), []byte(table))
	put(t, filepath.Join(dir, "empty.csv"), nil)
	if err := os.Mkdir(filepath.Join(dir, "none"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		args []string
		says string
	}{
		{[]string{"init", "my pictures"}, "there are several tables: catalogue.csv, empty.csv, other.csv"},
		{[]string{"init", "my pictures", "--table", "catalogue.csv"}, "my-pictures.cue is there already, and would be lost"},
		{[]string{"init", "my pictures", "--table", "gone.csv", "--out", "x.cue"}, "cannot read the table gone.csv"},
		{[]string{"init", "my pictures", "--table", "empty.csv", "--out", "x.cue"}, "the table empty.csv is empty"},
		{[]string{"init", "nowhere"}, "nowhere is not a folder"},
		{[]string{"init", "none", "--table", "catalogue.csv", "--out", "x.cue"}, "holds no picture"},
		{[]string{"init", "."}, "there are several tables"},
	} {
		out, err := asterism(x.args...)
		if err == nil || !strings.Contains(out, x.says) {
			t.Errorf("%v: %v: %s, want %q", x.args, err, out, x.says)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "x.cue")); err == nil {
		t.Error("a mistake leaves a file")
	}
}
