//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// listing is a block of code of a document. The first word of its fence says the language, the second the file that it is,
// or how it is run: "sh long" where time is not short, "sh fails" for what must fail.
type listing struct {
	language, rest, text string
	line                 int
}

// listings gives a document's blocks, in order.
func listings(t *testing.T, document string) []listing {
	t.Helper()
	var all []listing
	var open *listing
	number := 0
	for line := range strings.Lines(document) {
		number++
		fence, ok := strings.CutPrefix(line, "```")
		switch {
		case ok && open == nil:
			language, rest, _ := strings.Cut(strings.TrimSpace(fence), " ")
			open = &listing{language: language, rest: rest, line: number}
		case ok:
			all, open = append(all, *open), nil
		case open != nil:
			open.text += line
		}
	}
	if open != nil {
		t.Fatalf("the listing of line %d has no end", open.line)
	}
	return all
}

// TestWritingPlugins does what WRITING_PLUGINS.md tells authors: it writes the files that are shown and runs the commands,
// in the order in which they stand, without a network, and compares what is printed with what is shown.
func TestWritingPlugins(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "WRITING_PLUGINS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(filepath.Join(root, link[1])); err != nil {
			t.Errorf("a link leads nowhere: %v", err)
		}
	}
	dir := t.TempDir()
	self := command(t, dir).Path
	environment := append(author(t, self), "ASTERISM_CACHE="+filepath.Join(dir, ".cache"), "XDG_DATA_HOME="+filepath.Join(dir, ".data"))
	python := havePython(t, "")
	printed, commands := "", 0
	for _, l := range listings(t, string(text)) {
		if !python && strings.Contains(l.text, "apex") {
			continue
		}
		switch l.language {
		case "sh":
			if l.rest == "long" && os.Getenv("ASTERISM_LONG") == "" {
				continue
			}
			commands++
			text := strings.ReplaceAll(l.text, "plugin test ./", "plugin test --batches 20 ./") // of 1000, which take their time
			c := exec.Command("sh", "-e", "-x", "-c", text)
			c.Dir, c.Env = dir, environment
			out, err := c.CombinedOutput()
			if (err != nil) != (l.rest == "fails") {
				t.Fatalf("WRITING_PLUGINS.md:%d: %v\n%s", l.line, err, out)
			}
			printed = string(out)
		case "text":
			for line := range strings.Lines(l.text) {
				form := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimRight(line, "\n")), "…", ".*") // … stands for anything
				if !regexp.MustCompile("(?m)^" + form + "$").MatchString(printed) {
					t.Errorf("WRITING_PLUGINS.md:%d: no line like %q is printed by the commands before, but:\n%s", l.line, strings.TrimSpace(line), printed)
				}
			}
		case "go", "python", "cue":
			file := filepath.Join(dir, l.rest)
			if l.rest == "" {
				t.Fatalf("WRITING_PLUGINS.md:%d: nothing says which file this is", l.line)
			}
			if err := os.WriteFile(file, []byte(l.text), 0o666); err != nil {
				t.Fatal(err)
			}
			if l.language == "go" {
				if out, err := exec.Command("gofmt", "-l", file).CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("WRITING_PLUGINS.md:%d: not formatted: %v %s", l.line, err, out)
				}
			}
		default:
			t.Errorf("WRITING_PLUGINS.md:%d: nothing checks a listing of the language %q", l.line, l.language)
		}
	}
	if !python {
		t.Log("Python with grpc, numpy and protobuf is not installed: its listings were left out")
	}
	if commands < 8 {
		t.Errorf("%d commands were run: the document is read wrongly", commands)
	}
}
