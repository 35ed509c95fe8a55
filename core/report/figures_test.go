package report

import (
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"reflect"
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
		if err := drawn(strings.TrimSuffix(file, ".svg") + ".png"); err != nil {
			t.Error(err)
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

// drawn sees that a picture is as wide as a column of a journal at 300 dots an inch, and holds more than white.
func drawn(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	ink := 0
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			if r, g, b, _ := m.At(x, y).RGBA(); r+g+b < 3*0xf000 {
				ink++
			}
		}
	}
	if w := m.Bounds().Dx(); w < 1175 || w > 1187 || ink < 2000 {
		return fmt.Errorf("%s is %d dots wide and has %d that are not white", file, w, ink)
	}
	return nil
}

func TestPathsAreReadAsTheyAreWritten(t *testing.T) {
	got := lines("M1 2.5L3 4V-1M7 8h0")
	want := [][][2]float64{{{1, 2.5}, {3, 4}, {3, -1}}, {{7, 8}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if lines("") != nil {
		t.Error("nothing has lines")
	}
}
