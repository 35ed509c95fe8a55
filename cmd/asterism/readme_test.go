package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asterism-ssl/asterism/core/experiment"
)

// TestReadme holds the README to what works: its experiment is valid, and every verb in its table exists.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```cue\n")
	snippet, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the README shows no experiment")
	}
	file := filepath.Join(t.TempDir(), "mine.cue")
	if err := os.WriteFile(file, []byte(snippet), 0o666); err != nil {
		t.Fatal(err)
	}
	a := &app{out: os.Stdout, err: os.Stderr}
	r, err := a.installed()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := experiment.Load(file, experiment.Options{Schemas: schemas{r}}); err != nil {
		t.Errorf("the README's experiment: %v", err)
	}
	verbs := 0
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(line, "| `asterism "); ok {
			verbs++
			verb := strings.FieldsFunc(command, func(r rune) bool { return r == ' ' || r == '`' })[0]
			if c, _, err := a.root().Find([]string{verb}); err != nil || c.Name() != verb {
				t.Errorf("the README names the verb %q, which does not exist", verb)
			}
		}
	}
	if verbs < 9 {
		t.Errorf("the README's table has %d verbs", verbs)
	}
}
