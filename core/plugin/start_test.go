package plugin_test

import (
	"sync"
	"testing"
	"time"

	"github.com/asterism-ssl/asterism/core/fault"
	"github.com/asterism-ssl/asterism/core/plugin"
)

// Plugins that are started ahead are those that calls use; what went wrong is told to the first call, and the next one
// tries again; and none is waited for when all is over.
func TestStartAhead(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	h := plugin.NewHost(func(name string) (plugin.Spec, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[name]++
		command := map[string][]string{"misfit": {misfit}, "broken": {"false"}, "silent": {"sleep", "3600"}}[name]
		return plugin.Spec{Name: name, Command: command}, nil
	}, plugin.Options{StartTimeout: time.Hour})
	closed := false
	defer func() {
		if !closed {
			h.Close()
		}
	}()
	times := func(name string) int {
		mu.Lock()
		defer mu.Unlock()
		return asked[name]
	}
	h.Start(background, "misfit", "broken", "silent", "misfit")
	if out, err := apply(t, h, double, 4); err != nil || out[0] != 8 {
		t.Errorf("%v, %v", out, err)
	}
	eventually(t, "all are on their way", func() bool { return times("silent") == 1 && times("broken") == 1 })
	for calls := 1; calls <= 2; calls++ {
		_, err := h.Encoder(background, ref("broken.pool", "{}"), []int64{4, 1})
		isFault(t, err, fault.Plugin, "broken.pool", "file.cue:12:4", "ended before it was ready")
		if n := times("broken"); n != calls {
			t.Errorf("after call %d it was started %d times", calls, n)
		}
	}
	if n := times("misfit"); n != 1 {
		t.Errorf("misfit was started %d times", n)
	}
	done := make(chan error)
	go func() { done <- h.Close() }()
	select {
	case err := <-done:
		closed = true
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Close waits for a plugin that does not start")
	}
	h.Start(background, "misfit")
	if n := times("misfit"); n != 1 {
		t.Error("a closed host starts plugins")
	}
}
