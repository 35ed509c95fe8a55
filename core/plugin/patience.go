package plugin

import (
	"context"
	"maps"
	"path"
	"sync"
	"time"

	"github.com/asterism-ssl/asterism/core/protocol"
)

// Patience says how long the host waits for an answer before it takes a plugin for hung and ends it.
type Patience struct {
	First time.Duration // for a call like none before; 0: 5 minutes
	Least time.Duration // for any call, however quick those before were; 0: 1 minute
	Bulk  time.Duration // at least, for calls whose work does not follow from their size, such as Fit; 0: 1 hour
}

// times is how much longer than measured a call may take.
const times = 20

// patience measures how fast a plugin answers, and tells how long to wait for it.
type patience struct {
	Patience
	mu      *sync.Mutex
	slowest map[work]time.Duration // for one unit of work
}

// work is what is measured together: a call of an instance.
type work struct {
	method   string
	instance uint32
}

func newPatience(p Patience) patience {
	if p.First <= 0 {
		p.First = 5 * time.Minute
	}
	if p.Least <= 0 {
		p.Least = time.Minute
	}
	if p.Bulk <= 0 {
		p.Bulk = time.Hour
	}
	return patience{p, new(sync.Mutex), map[work]time.Duration{}}
}

// size of a call: what its time may be expected to grow with, in units; bulk when it follows from nothing.
func size(method string, request any) (w work, units int, bulk bool) {
	w.method, units = path.Base(method), 1
	switch r := request.(type) { // networks and instances have no number in common
	case interface{ GetInstance() uint32 }:
		w.instance = r.GetInstance()
	case interface{ GetNetwork() uint32 }:
		w.instance = r.GetNetwork()
	case *protocol.ApplyRequest:
		if len(r.Chain) > 0 {
			w.instance = r.Chain[0].GetInstance()
		}
		units = len(r.Samples)
	}
	switch r := request.(type) {
	case *protocol.ReadRequest:
		units = int(r.Count)
	case *protocol.ForwardRequest:
		units = int(r.Samples)
	case *protocol.OpenRequest, *protocol.FitRequest, *protocol.PredictRequest, *protocol.ScoreRequest, *protocol.CompileRequest:
		bulk = true
	}
	return w, max(units, 1), bulk
}

// limit is how long to wait for the answer to a call.
func (p *patience) limit(method string, request any) time.Duration {
	w, units, bulk := size(method, request)
	if bulk {
		return p.Bulk
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	one, known := p.slowest[w]
	if !known {
		return p.First
	}
	return max(p.Least, times*one*time.Duration(units))
}

// forget drops what was measured of an instance that is gone.
func (p *patience) forget(instance uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.slowest, func(w work, _ time.Duration) bool { return w.instance == instance })
}

// measured takes note of how long a call took.
func (p *patience) measured(method string, request any, took time.Duration) {
	w, units, bulk := size(method, request)
	if bulk {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slowest[w] = max(p.slowest[w], took/time.Duration(units))
}

// watch calls late when this process has run for so long and ctx is not done. Time in which it was suspended (Ctrl-Z, a machine
// that is put to sleep) does not count: the answer may have come in it.
func watch(ctx context.Context, d time.Duration, late func()) {
	const ticks = 8
	t := time.NewTicker(max(d/ticks, 1))
	defer t.Stop()
	for range ticks {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
	late()
}
