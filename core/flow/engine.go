package flow

import (
	"context"

	"github.com/asterism-ssl/asterism/core/plugin"
)

// startedEngine is the experiment's engine, or why it is not there.
type startedEngine struct {
	engine *plugin.Engine
	err    error
}

// startEngine has the engine come up while the rest of the plan is made: one that brings a large library takes seconds.
func (f *Flow) startEngine(ctx context.Context) <-chan startedEngine {
	if f.x.Engine == nil {
		return nil
	}
	started := make(chan startedEngine, 1)
	go func() {
		e, err := f.Host.Engine(ctx, Ref(*f.x.Engine))
		started <- startedEngine{e, err}
	}()
	return started
}

// planEngine waits for the engine that the experiment names, which computes everything from here on.
func (f *Flow) planEngine(_ context.Context, p *resolved) error {
	if p.engine == nil {
		return nil
	}
	started := <-p.engine
	if started.err != nil {
		return started.err
	}
	f.Engine = started.engine
	p.public.Engine = f.computes().String()
	return nil
}
