package report

import (
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every chart is a file of its own that other programs read, and every score a line.
func TestFiguresAndNumbersAreBesideThePage(t *testing.T) {
	path, _ := made(t, func(dir string) {
		if err := os.MkdirAll(filepath.Join(dir, FiguresDir), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, FiguresDir, "of-an-earlier-report.svg"), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	})
	dir := filepath.Dir(path)
	files, err := filepath.Glob(filepath.Join(dir, FiguresDir, "*.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 4 {
		t.Errorf("there are the figures %v", files)
	}
	for _, file := range files {
		if strings.Contains(file, "earlier") {
			t.Errorf("%s is still there", file)
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		words := 0
		for d := xml.NewDecoder(strings.NewReader(string(text))); ; {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "text" {
				words++
			}
		}
		if words < 4 {
			t.Errorf("%s has %d labels", file, words)
		}
	}
	f, err := os.Open(filepath.Join(dir, NumbersCSV))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(lines[0], " ") != "task component metric better labels arm mean std draws" || len(lines) < 5 {
		t.Errorf("%d lines, of the columns %v", len(lines), lines[0])
	}
}
