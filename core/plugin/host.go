package plugin

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/asterism-ssl/asterism/core/protocol"
)

var errNotYet = errors.New("not yet")

// Spec says how to start a plugin and what it must turn out to be.
type Spec struct {
	Name     string
	Version  string
	Command  []string              // the executable and its arguments
	Env      []string              // beside the short list that every plugin gets
	Dir      string                // working folder; empty: the host's
	Manifest *protocol.Description // what the installed plugin says of itself; its own answer must equal it
}

// Options of a host.
type Options struct {
	Log          io.Writer     // lines that plugins write, each after the plugin's name; nil: none
	LogDir       string        // folder for one NAME.log a plugin; empty: none
	StartTimeout time.Duration // for a plugin to start; 0: 10 s
}

// Host starts plugins when they are first needed, one process each, and ends them all on Close.
type Host struct{}

// NewHost makes a host that asks resolve how to start a plugin by its name.
func NewHost(resolve func(plugin string) (Spec, error), o Options) *Host { return &Host{} }

// Close ends every plugin and removes the sockets.
func (h *Host) Close() error { return nil }

// Dataset configures a dataset.
func (h *Host) Dataset(ctx context.Context, r Ref) (*Dataset, error) { return nil, errNotYet }

// Pipeline plans a chain of augmentations on samples such as in.
func (h *Host) Pipeline(ctx context.Context, refs []Ref, view string, in *protocol.SampleFacts) (*Pipeline, error) {
	return nil, errNotYet
}

// Encoder gives the model that an encoder describes for samples of the shape input (spatial…, bands).
func (h *Host) Encoder(ctx context.Context, r Ref, input []int64) (*protocol.Model, error) {
	return nil, errNotYet
}

// Objective configures an objective.
func (h *Host) Objective(ctx context.Context, r Ref) (*Objective, error) { return nil, errNotYet }

// Task configures a task.
func (h *Host) Task(ctx context.Context, r Ref) (*Task, error) { return nil, errNotYet }
