package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/asterism-ssl/asterism/core/protocol"
)

type double struct{}

func (double) Plan(f *SampleFacts) (*AugmentationPlan, error) {
	return &AugmentationPlan{Leaves: f}, nil
}

func (double) Apply(s *Sample) error {
	for i, v := range s.In {
		s.Out[i] = 2 * v
	}
	return nil
}

func acme() Plugin {
	return Plugin{Name: "acme", Version: "1.0.0", Components: []Component{
		Augmentation("double", 1, "Doubles.", "#Config: {}", func(struct{}) (Augmenter, error) { return double{}, nil })}}
}

func TestByHand(t *testing.T) {
	var out, errs bytes.Buffer
	if code := byHand(acme(), []string{"/opt/acme/bin/acme", "describe"}, &out, &errs); code != 0 || errs.Len() != 0 {
		t.Fatalf("%d, %s", code, &errs)
	}
	var d struct {
		Command    []string
		Name       string
		API        int
		Components []struct{ Name, Kind, Schema string }
	}
	if err := json.Unmarshal(out.Bytes(), &d); err != nil || !slices.Equal(d.Command, []string{"./acme"}) || d.Name != "acme" || d.API != 1 || d.Components[0].Kind != "AUGMENTATION" {
		t.Errorf("%v: %s", err, &out)
	}
	out.Reset()
	if code := byHand(acme(), []string{"acme"}, &out, &errs); code == 0 || out.Len() != 0 {
		t.Errorf("%d, %s", code, &out)
	}
	for _, want := range []string{"the Asterism plugin acme 1.0.0", "acme.double", "Doubles.", "asterism plugin test FOLDER", "--plugin acme=FOLDER"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("%q is not said in:\n%s", want, &errs)
		}
	}
}

func TestByHandWithAWrongArgument(t *testing.T) {
	var out, errs bytes.Buffer
	if code := byHand(acme(), []string{"bin/acme", "--help"}, &out, &errs); code == 0 || out.Len() != 0 || errs.String() != "acme takes one argument, describe, or none; not --help\n" {
		t.Errorf("%d, %s%s", code, &out, &errs)
	}
}

func TestPluginsThatAreNotComplete(t *testing.T) {
	for want, change := range map[string]func(p *Plugin){
		`the name "Acme"`:             func(p *Plugin) { p.Name = "Acme" },
		"no version":                  func(p *Plugin) { p.Version = "" },
		`the version "1.0"`:           func(p *Plugin) { p.Version = "1.0" },
		`the version "v1.0.0"`:        func(p *Plugin) { p.Version = "v1.0.0" },
		"no components":               func(p *Plugin) { p.Components = nil },
		`component name "a.b"`:        func(p *Plugin) { p.Components[0].Name = "a.b" },
		`two components`:              func(p *Plugin) { p.Components = append(p.Components, p.Components[0]) },
		"is not made by":              func(p *Plugin) { p.Components[0].build = nil },
		"revision 0":                  func(p *Plugin) { p.Components[0].Revision = 0 },
		"does not define #Config":     func(p *Plugin) { p.Components[0].Schema = "" },
		"the plugin is not complete:": func(p *Plugin) { p.Version = "" },
	} {
		p := acme()
		change(&p)
		var out, errs bytes.Buffer
		if code := byHand(p, []string{"acme", "describe"}, &out, &errs); code == 0 || !strings.Contains(errs.String(), want) || out.Len() != 0 {
			t.Errorf("%d, %s, want %q", code, &errs, want)
		}
	}
}

func TestErrorsOnTheWire(t *testing.T) {
	for _, c := range []struct {
		err  error
		want *protocol.Fault
	}{
		{FieldError{Field: "size", What: "too large", Advice: "less"}, &protocol.Fault{Cause: protocol.Fault_CONFIG, Field: "size", What: "too large", Advice: "less"}},
		{&FieldError{Field: "size", What: "too large"}, &protocol.Fault{Cause: protocol.Fault_CONFIG, Field: "size", What: "too large"}},
		{fmt.Errorf("stem: %w", FieldError{Field: "size", What: "too large"}), &protocol.Fault{Cause: protocol.Fault_CONFIG, Field: "size", What: "stem: size: too large"}},
		{ConfigError{What: "no"}, &protocol.Fault{Cause: protocol.Fault_CONFIG, What: "no"}},
		{&DataError{What: "gone", Advice: "look"}, &protocol.Fault{Cause: protocol.Fault_DATA, What: "gone", Advice: "look"}},
		{fmt.Errorf("reading: %w", syscall.ENOSPC), &protocol.Fault{Cause: protocol.Fault_RESOURCE, What: "reading: no space left on device"}},
		{linkError{3, DataError{What: "gone"}}, &protocol.Fault{Cause: protocol.Fault_DATA, What: "gone", Link: 3}},
		{errors.New("oops"), &protocol.Fault{What: "oops"}},
	} {
		if got := faultOf(c.err); got.String() != c.want.String() {
			t.Errorf("%#v: %v, want %v", c.err, got, c.want)
		}
	}
}

// TestSpreadGivesTheFirstError: whatever the timing, the error is that of the smallest item that fails, and all before
// it are done.
func TestSpreadGivesTheFirstError(t *testing.T) {
	for range 50 {
		var done [100]atomic.Bool
		err := spread(context.Background(), "test", 4, 100, func(_, i int) error {
			if i == 40 || i == 41 || i == 90 {
				return fmt.Errorf("item %d", i)
			}
			if i == 42 {
				panic("item 42")
			}
			done[i].Store(true)
			return nil
		})
		if err == nil || err.Error() != "item 40" {
			t.Fatal(err)
		}
		for i := range 40 {
			if !done[i].Load() {
				t.Fatalf("item %d was left out", i)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := spread(ctx, "test", 2, 10, func(int, int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestOrderedIsOrderedAndBounded: things are taken in order, and never more than two a worker are ahead.
func TestOrderedIsOrderedAndBounded(t *testing.T) {
	var made atomic.Int64
	next := 0
	err := ordered(context.Background(), "test", 500, func(k int) (Record, error) {
		made.Add(1)
		return Record{ID: fmt.Sprint(k)}, nil
	}, func(k int, r Record) (bool, error) {
		if k != next || r.ID != fmt.Sprint(k) {
			t.Fatalf("%d, %+v in place %d", k, r, next)
		}
		if ahead := int(made.Load()) - k; ahead > 2*workers(500)+1 {
			t.Fatalf("%d are ahead", ahead)
		}
		next++
		return next < 300, nil
	})
	if err != nil || next != 300 {
		t.Errorf("%d taken, %v", next, err)
	}
	err = ordered(context.Background(), "test", 50, func(k int) (Record, error) {
		if k == 7 {
			panic("cursed")
		}
		return Record{}, nil
	}, func(k int, r Record) (bool, error) { return true, nil })
	if err == nil || err.Error() != "panic: cursed" {
		t.Error(err)
	}
}

// TestNoAllocationsForASample takes a sample through a chain over and over.
func TestNoAllocationsForASample(t *testing.T) {
	links := []link{
		{augmenter: double{}, shape: []int64{8}, size: 8, columns: []column{{"z", make([]float64, 1)}}},
		{augmenter: double{}, shape: []int64{8}, size: 8, adds: []column{{"w", make([]float64, 1)}}},
		{augmenter: double{}, shape: []int64{8}, size: 8},
	}
	in, out, w := []float32{1, 2, 3, 4, 5, 6, 7, 8}, make([]float32, 8), newScratch(links)
	n := testing.AllocsPerRun(100, func() {
		if err := w.run(links, in, out, 0, 1, 2); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 || out[7] != 64 {
		t.Errorf("%v allocations, %v", n, out)
	}
}

// TestPanicsInParallel: a panic on whichever thread, and a fault there, are errors of the component.
func TestPanicsInParallel(t *testing.T) {
	input, err := unix.Mmap(-1, 0, 64, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(input)
	for want, f := range map[string]func(i int){
		"panic: item 40": func(i int) {
			if i == 40 {
				panic("item 40")
			}
		},
		fmt.Sprintf("panic: memory fault at %p (the tensors that a component is given may only be read)", input): func(i int) {
			if i == 63 {
				input[0] = 1
			}
		},
	} {
		err := protect("test", func() error { Parallel(64, f); return nil })
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	var sum atomic.Int64
	Parallel(100, func(i int) { sum.Add(int64(i)) }) // the pool is as before
	if sum.Load() != 4950 {
		t.Error(sum.Load())
	}
}

// TestNumbersThatDoNotFit: a schema may allow what a field of the author's struct cannot hold.
func TestNumbersThatDoNotFit(t *testing.T) {
	c := Augmentation("crop", 1, "", "#Config: {}", func(c struct{ Size struct{ Side int8 } }) (Augmenter, error) { return double{}, nil })
	var field FieldError
	if _, err := c.Build([]byte(`{"Size": {"Side": 300}}`)); !errors.As(err, &field) || field.Field != "Size.Side" || !strings.Contains(field.What, "number 300") {
		t.Errorf("%#v", err)
	}
}

// TestFieldsOfAnotherName: what the schema calls otherwise than the author's struct would stay zero without a word.
func TestFieldsOfAnotherName(t *testing.T) {
	type config struct {
		SigmaMax float64 `json:"sigma_max"`
		Together bool
	}
	var got config
	c := Augmentation("blur", 1, "", "#Config: {}", func(c config) (Augmenter, error) { got = c; return double{}, nil })
	if _, err := c.Build([]byte(`{"sigma_max": 3, "together": true}`)); err != nil || got != (config{3, true}) {
		t.Errorf("%+v, %v", got, err)
	}
	_, err := c.Build([]byte(`{"sigma_min": 3}`))
	if err == nil || err.Error() != "the schema has the field \"sigma_min\", and sdk.config has no exported field of that name: add one, with the tag `json:\"sigma_min\"`" {
		t.Errorf("%v", err)
	}
}

// TestTraces: the stack of a panic begins where it happened and ends where the SDK called the author.
func TestTraces(t *testing.T) {
	err := protect("acme.blur", func() error {
		var none []int
		none[3] = 1
		return nil
	})
	e, ok := err.(panicError)
	lines := strings.Split(e.trace, "\n")
	if !ok || len(lines) < 3 || len(lines) > 6 || lines[0] != "panic in acme.blur: runtime error: index out of range [3] with length 0" || !strings.Contains(e.trace, "TestTraces.func1") || !strings.Contains(e.trace, "serve_test.go:") || strings.Contains(e.trace, "debug.Stack") {
		t.Errorf("%d lines, %s", len(lines), e.trace)
	}
}
