// Package sdktest lets a plugin's own tests configure and call its components in process, without a host:
//
//	a := sdktest.Configure(t, sky.Plugin(), "rotate", `{}`).(sdk.Augmenter)
//	out := sdktest.Augment(t, a, &sdk.SampleFacts{Shape: []int64{8, 8, 1}}, pixels, 42)
package sdktest

import (
	"fmt"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// Configure makes an instance of a component from its configuration, JSON or CUE, completed by the schema's defaults
// as the host completes it. It fails the test when the configuration is not valid.
func Configure(t testing.TB, p sdk.Plugin, component, config string) any {
	t.Helper()
	instance, err := Build(p, component, config)
	if err != nil {
		t.Fatalf("%s.%s: %v", p.Name, component, err)
	}
	return instance
}

// Build does what Configure does and gives the error, for tests of bad configurations. A violated rule is an
// sdk.FieldError.
func Build(p sdk.Plugin, component, config string) (any, error) {
	for _, c := range p.Components {
		if c.Name == component {
			concrete, err := Complete(c.Schema, config)
			if err != nil {
				return nil, err
			}
			return c.Build(concrete)
		}
	}
	return nil, fmt.Errorf("the plugin %s has no component %q", p.Name, component)
}

// Complete checks a configuration against a schema's #Config and #rules and gives it as JSON with every default.
func Complete(schema, config string) ([]byte, error) {
	ctx := cuecontext.New()
	s := ctx.CompileString(schema, cue.Filename("schema.cue"))
	if s.Err() != nil {
		return nil, fmt.Errorf("schema: %s", errors.Details(s.Err(), nil))
	}
	definition := s.LookupPath(cue.MakePath(cue.Def("#Config")))
	if definition.Err() != nil {
		return nil, fmt.Errorf("schema: %s", errors.Details(definition.Err(), nil))
	}
	v := definition.Unify(ctx.CompileString(config, cue.Filename("config.cue")))
	if err := v.Validate(cue.Concrete(true), cue.Final()); err != nil {
		return nil, fmt.Errorf("configuration: %s", errors.Details(err, nil))
	}
	if rules := v.LookupPath(cue.MakePath(cue.Def("#rules"))); rules.Exists() {
		list, err := rules.List()
		if err != nil {
			return nil, fmt.Errorf("#rules: %w", err)
		}
		for list.Next() {
			var rule struct {
				Path, Say string
				OK        bool
			}
			if err := list.Value().Decode(&rule); err != nil {
				return nil, fmt.Errorf("#rules: %w", err)
			}
			if !rule.OK {
				return nil, sdk.FieldError{Field: rule.Path, What: rule.Say}
			}
		}
	}
	return v.MarshalJSON()
}

// Augment plans an augmentation for samples such as facts and applies it to one of them, with the randomness of the
// sample id. The input is checked to be left alone.
func Augment(t testing.TB, a sdk.Augmenter, facts *sdk.SampleFacts, in []float32, sample uint64) []float32 {
	t.Helper()
	plan, err := a.Plan(facts)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	size := int64(1)
	for _, n := range plan.Leaves.Shape {
		size *= n
	}
	before := append([]float32(nil), in...)
	s := &sdk.Sample{In: in, Out: make([]float32, size), Facts: facts, OutShape: plan.Leaves.Shape,
		Random: sdk.NewKey(1, "view", "test", "test/0").At(0, sample), Column: map[string]float64{}, Add: map[string]float64{}}
	if err := a.Apply(s); err != nil {
		t.Fatalf("apply: %v", err)
	}
	for i := range in {
		if in[i] != before[i] && !(in[i] != in[i] && before[i] != before[i]) {
			t.Fatalf("the augmentation wrote into its input at %d", i)
		}
	}
	return s.Out
}
