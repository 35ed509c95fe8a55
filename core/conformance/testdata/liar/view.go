package main

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/asterism-ssl/asterism/plugins/sdk"
)

// view adds noise, and adds its first draw as a column.
type view struct {
	plans atomic.Int64
	mu    sync.Mutex
	last  float32
}

var (
	calls     atomic.Int64
	kept      [][]float32
	keptMu    sync.Mutex
	once      sync.Once
	drawnOnce sync.Map
)

func (v *view) Plan(f *sdk.SampleFacts) (*sdk.AugmentationPlan, error) {
	n := v.plans.Add(1)
	p := &sdk.AugmentationPlan{Leaves: f, Ranks: []uint32{1, 2, 3}, Columns: []string{"weight"}, Statistics: true}
	switch {
	case lie == "rank" && len(f.Shape) == 4:
		return nil, sdk.ConfigError{What: "no volumes"}
	case lie == "rankerror" && len(f.Shape) == 4:
		return nil, errors.New("not implemented")
	case lie == "ranks":
		p.Ranks = []uint32{uint32(len(f.Shape) - 1)}
	case lie == "bands":
		f.Bands = f.Bands[:1]
	case lie == "fickle":
		f.PixelScale = float64(n)
	case lie == "nameless":
		p.Adds = []*sdk.Field{{Name: "drawn", Type: sdk.String}}
	case lie == "origin":
		p.Origin = []uint32{1, 1}
	case lie == "nothing":
		return &sdk.AugmentationPlan{}, nil
	case lie == "smallerror" && f.Shape[0] < 3:
		return nil, errors.New("index out of range")
	}
	return p, nil
}

func (v *view) Apply(s *sdk.Sample) error {
	drawn := float32(s.Random.Uniform())
	missing := false
	for i, x := range s.In {
		if lie == "hole" && i == len(s.In)-1 {
			break
		}
		s.Out[i] = x + drawn
		missing = missing || x != x
	}
	n := len(s.Out)
	switch lie {
	case "stream":
		s.Out[0] += float32(calls.Add(1))
	case "neighbour":
		v.mu.Lock()
		s.Out[0] += v.last
		v.last = s.In[0]
		v.mu.Unlock()
	case "threads":
		s.Out[0] += float32(runtime.GOMAXPROCS(0))
	case "process":
		s.Out[0] += float32(os.Getpid())
	case "beyond":
		*(*float32)(unsafe.Add(unsafe.Pointer(&s.Out[0]), 4*n)) = 1
	case "before":
		*(*float32)(unsafe.Add(unsafe.Pointer(&s.Out[0]), -4)) = 1
	case "input":
		s.In[0] = 1
	case "draws once": // for each sample, whatever the epoch
		first, _ := drawnOnce.LoadOrStore(s.In[0], drawn)
		for i, x := range s.In {
			s.Out[i] = x + first.(float32)
		}
	case "global":
		if global.Load() {
			s.Out[0]++
		}
	case "volumes":
		if len(s.Facts.Shape) == 4 {
			s.Out[0] += float32(calls.Add(1))
		}
	case "late":
		go func() {
			time.Sleep(5 * time.Millisecond)
			s.Out[0]++
		}()
	case "standard":
		sum, squares := 0.0, 0.0
		for _, x := range s.In {
			sum, squares = sum+float64(x), squares+float64(x)*float64(x)
		}
		mean := sum / float64(n)
		deviation := math.Sqrt(squares/float64(n) - mean*mean)
		for i, x := range s.In {
			s.Out[i] = float32((float64(x) - mean) / deviation)
		}
	case "strays": // a child that leaves the group
		once.Do(func() {
			c := exec.Command("sleep", "60")
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			c.Start()
		})
	case "log":
		s.Out[0] = float32(math.Log(float64(s.In[0])))
	case "zeroes":
		for i, x := range s.Out {
			if x != x {
				s.Out[i] = 0
			}
		}
	case "strict":
		if missing {
			return sdk.DataError{What: "a pixel is missing"}
		}
	case "strictcolumn":
		if w := s.Column["weight"]; w != w {
			return sdk.DataError{What: "the weight is missing"}
		}
	case "small":
		_ = s.In[len(s.Facts.Bands)*5]
	case "leak":
		keptMu.Lock()
		kept = append(kept, append([]float32(nil), s.In...))
		keptMu.Unlock()
	case "slow":
		time.Sleep(time.Hour)
	}
	return nil
}
