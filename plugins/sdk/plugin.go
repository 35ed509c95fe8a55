// Package sdk is what plugin authors import: implement one small interface, write a CUE schema, call Serve.
// WRITING_PLUGINS.md shows how, and `asterism plugin new` writes a plugin to start from.
//
// The SDK does the rest: the handshake, batching, threads, shared memory, errors, logs, and ending with the host. What a
// component prints goes to the log. A panic is an error of the component and does not end the process. An instance that
// has a method Close() error is closed when the host lets go of it.
package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Plugin is a set of components served by one executable.
type Plugin struct {
	Name       string // lower-case letters, digits and _: the part before the dot in "sky.rotate"
	Version    string // semantic version
	Components []Component
}

// Component is one thing that an experiment can name. Make it with Dataset, Augmentation, Encoder, Objective or Task.
type Component struct {
	Name     string // "rotate"
	Kind     protocol.Kind
	Revision int    // raise it whenever results change for the same configuration
	Schema   string // CUE text that defines #Config (closed, each field documented) and optionally #rules
	Summary  string // one line for listings
	build    func(config []byte) (any, error)
}

// Info gives the component's entry in the manifest.
func (c Component) Info() *protocol.ComponentInfo {
	return &protocol.ComponentInfo{Name: c.Name, Kind: c.Kind, Revision: uint32(c.Revision), Schema: c.Schema, Summary: c.Summary}
}

// Build makes an instance from a concrete configuration in JSON.
func (c Component) Build(config []byte) (any, error) { return c.build(config) }

// Manifest describes the plugin, as `PLUGIN describe` prints it.
func (p Plugin) Manifest() *protocol.Description {
	d := &protocol.Description{Name: p.Name, Version: p.Version, Api: protocol.API}
	for _, c := range p.Components {
		d.Components = append(d.Components, c.Info())
	}
	return d
}

func component[C, T any](kind protocol.Kind, name string, revision int, summary, schema string, build func(C) (T, error)) Component {
	return Component{Name: name, Kind: kind, Revision: revision, Schema: schema, Summary: summary,
		build: func(config []byte) (any, error) {
			var c C
			d := json.NewDecoder(bytes.NewReader(config))
			d.DisallowUnknownFields() // a field that is spelt otherwise than in the schema would be left at zero without a word
			if err := d.Decode(&c); err != nil {
				return nil, undecodable(err, c)
			}
			return build(c)
		}}
}

// undecodable says what is wrong with a configuration that the schema allows and the author's type cannot hold.
func undecodable(err error, into any) error {
	if _, field, ok := strings.Cut(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("the schema has the field %s, and %T has no exported field of that name: add one, with the tag `json:%s`", field, into, field)
	}
	var value *json.UnmarshalTypeError
	if errors.As(err, &value) && value.Field != "" {
		return FieldError{Field: value.Field, What: fmt.Sprintf("the %s is no %s, or too large for one", value.Value, value.Type),
			Advice: "give a value that fits; the schema of the component should say so"}
	}
	return ConfigError{What: "the configuration cannot be read: " + err.Error(), Advice: "the schema of the component should say so"}
}

// Dataset makes a component that streams records. C is decoded from the experiment's JSON.
func Dataset[C any](name string, revision int, summary, schema string, build func(C) (Reader, error)) Component {
	return component(protocol.Kind_DATASET, name, revision, summary, schema, build)
}

// Augmentation makes a component that transforms samples.
func Augmentation[C any](name string, revision int, summary, schema string, build func(C) (Augmenter, error)) Component {
	return component(protocol.Kind_AUGMENTATION, name, revision, summary, schema, build)
}

// Encoder makes a component that describes a network.
func Encoder[C any](name string, revision int, summary, schema string, build func(C) (Architecture, error)) Component {
	return component(protocol.Kind_ENCODER, name, revision, summary, schema, build)
}

// Objective makes a component that says how a network learns.
func Objective[C any](name string, revision int, summary, schema string, build func(C) (Learner, error)) Component {
	return component(protocol.Kind_OBJECTIVE, name, revision, summary, schema, build)
}

// Task makes a component that answers a question from representations.
func Task[C any](name string, revision int, summary, schema string, build func(C) (Predictor, error)) Component {
	return component(protocol.Kind_TASK, name, revision, summary, schema, build)
}
