package conformance

import (
	"fmt"
	"slices"

	"github.com/asterism-ssl/asterism/core/model"
	"github.com/asterism-ssl/asterism/core/protocol"
	"google.golang.org/protobuf/proto"
)

var encoderChecks = []check{
	{"models", []string{"4.1", "4.2", "4.4"}, models, true},
	{"same", []string{"4.3"}, sameModel, false},
	{"small", []string{"4.4"}, smallModel, false},
}

// shapes that are tried where the case names none.
var shapes = [][]int64{{64, 64, 3}, {32, 32, 1}, {63, 50, 5}, {256, 2}, {2048, 1}, {24, 24, 24, 1}}

// sound looks whether a description can be computed and is of an encoder.
func sound(m *protocol.Model, input []int64) error {
	g, err := model.Check(m)
	if err != nil {
		return &broken{paragraph: "4.2", expected: fmt.Sprintf("a model that can be computed, for samples of the shape %v", input), seen: list(err)}
	}
	if !slices.Equal(m.Input, input) {
		return &broken{paragraph: "4.2", expected: fmt.Sprintf("a model for samples of the shape %v", input), seen: fmt.Sprintf("one for %v", m.Input)}
	}
	for _, name := range []string{"features", "representation"} {
		if g.Outputs[name] == nil {
			return &broken{paragraph: "4.2", expected: `the outputs "features" and "representation"`, seen: fmt.Sprintf("no %q", name)}
		}
	}
	if s := g.Outputs["representation"].Shape; len(s) != 1 {
		return &broken{paragraph: "4.2", expected: "a representation that is a vector", seen: fmt.Sprintf("the shape %v", s)}
	}
	return nil
}

// models has the encoder describe a model for each size that the case names, or for some that it may refuse.
func models(t *trial) error {
	h := t.shared()
	for _, input := range t.given.Inputs {
		m, err := h.Encoder(t.ctx, t.ref(), input)
		if err != nil {
			return &broken{paragraph: "4.1", expected: fmt.Sprintf("a model for samples of the shape %v, which the case names", input), seen: words(err), log: logOf(err)}
		}
		if err := sound(m, input); err != nil {
			return err
		}
	}
	if len(t.given.Inputs) > 0 {
		return nil
	}
	described := 0
	var last error
	for _, input := range shapes {
		m, err := h.Encoder(t.ctx, t.ref(), input)
		if err != nil {
			if !refusal(err) {
				return unreasoned(input, err)
			}
			last = err
			continue
		}
		described++
		if err := sound(m, input); err != nil {
			return err
		}
	}
	if described == 0 {
		return &broken{paragraph: "4.1", expected: fmt.Sprintf("a model for samples of one of the shapes %v", shapes), seen: words(last), log: logOf(last), advice: "name shapes that it takes: a case with inputs in conformance.cue"}
	}
	return nil
}

// unreasoned is about a shape that is neither taken nor refused.
func unreasoned(input []int64, err error) error {
	return &broken{paragraph: "4.4", expected: fmt.Sprintf("a model for samples of the shape %v, or a refusal that says why", input), seen: words(err), log: logOf(err),
		advice: "an error of the configuration (FieldError, ConfigError) says that these samples cannot be taken"}
}

// taken is a shape that the encoder describes a model for.
func (t *trial) taken(h *home) ([]int64, *protocol.Model, error) {
	candidates := t.given.Inputs
	if len(candidates) == 0 {
		candidates = shapes
	}
	var m *protocol.Model
	var err error
	for _, input := range candidates {
		if m, err = h.Encoder(t.ctx, t.ref(), input); err == nil {
			return input, m, nil
		}
	}
	return nil, nil, err
}

// sameModel asks twice, and another process.
func sameModel(t *trial) error {
	input, m, err := t.taken(t.shared())
	if err != nil {
		return err
	}
	for what, h := range map[string]*home{"the second time": t.shared(), "in another process": t.fresh()} {
		again, err := h.Encoder(t.ctx, t.ref(), input)
		if err != nil {
			return err
		}
		if !proto.Equal(again, m) {
			return &broken{paragraph: "4.3", expected: "the same model of the same configuration and shape", seen: "another " + what,
				advice: "the order of a map changes from run to run: describe layers in an order of your own"}
		}
	}
	return nil
}

// smallModel asks for samples of a pixel or two.
func smallModel(t *trial) error {
	h := t.shared()
	for rank := 1; rank <= 3; rank++ {
		for _, side := range []int64{1, 2, 5} {
			input := append(slices.Repeat([]int64{side}, rank), 1)
			m, err := h.Encoder(t.ctx, t.ref(), input)
			if err == nil {
				err = sound(m, input)
			} else if refusal(err) {
				err = nil
			} else {
				err = unreasoned(input, err)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// encoderBatches asks again and again.
func encoderBatches(t *trial, h *home) (func(i int) error, int64, error) {
	input, m, err := t.taken(h)
	if err != nil {
		return nil, 0, err
	}
	return func(int) error {
		_, err := h.Encoder(t.ctx, t.ref(), input)
		return err
	}, int64(proto.Size(m)), nil
}
