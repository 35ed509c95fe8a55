package kernel

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestDoRunsEveryTaskOnce(t *testing.T) {
	for threads := 1; threads <= 5; threads++ {
		p := NewPool(threads)
		for _, tasks := range []int{0, 1, 3, 1000} {
			counts := make([]atomic.Int32, tasks)
			p.Do(tasks, func(task int) { counts[task].Add(1) })
			for i := range counts {
				if n := counts[i].Load(); n != 1 {
					t.Fatalf("%d threads: task %d of %d ran %d times", threads, i, tasks, n)
				}
			}
		}
		p.Close()
		p.Close()
	}
}

func TestPanicInATaskReachesTheCaller(t *testing.T) {
	for threads := 1; threads <= 3; threads++ {
		p := NewPool(threads)
		func() {
			defer func() {
				if r := recover(); r != "broken" {
					t.Errorf("%d threads: recovered %v", threads, r)
				}
			}()
			p.Do(50, func(task int) {
				if task == 7 {
					panic("broken")
				}
			})
		}()
		var ran atomic.Int32
		p.Do(20, func(int) { ran.Add(1) })
		if ran.Load() != 20 {
			t.Errorf("%d threads: after a panic only %d of 20 tasks ran", threads, ran.Load())
		}
		p.Close()
	}
}

func TestCallersWaitForEachOther(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	x := make([]float32, 100000)
	p.Fill(1, x)
	want := p.dotOfOnes(x)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 20 {
				if got := p.dotOfOnes(x); got != want {
					t.Errorf("sum %v, want %v", got, want)
				}
			}
		})
	}
	wait.Wait()
}

// dotOfOnes sums a column of ones.
func (p *Pool) dotOfOnes(x []float32) float32 {
	sum := []float32{0}
	p.ColumnSum(len(x), 1, Float32s(x), sum)
	return sum[0]
}

func TestSelect(t *testing.T) {
	defer func() { _ = Select("") }()
	if err := Select("sse9"); err == nil || !strings.Contains(err.Error(), "portable") {
		t.Errorf("Select of an unknown set says %v; want the sets there are", err)
	}
	if err := Select("portable"); err != nil || Describe() != "portable Go" {
		t.Errorf("after Select(portable): %v, %q", err, Describe())
	}
	p := NewPool(1)
	defer p.Close()
	if p.set != portable {
		t.Errorf("a new pool uses %s", p.set.name)
	}
}

// TestEnvironment runs this test program again, since the variable is read when a program starts.
func TestEnvironment(t *testing.T) {
	if os.Getenv("ASTERISM_KERNEL_CHILD") != "" {
		os.Stdout.WriteString("describe: " + Describe() + "\n")
		return
	}
	for value, want := range map[string]string{
		"portable": "describe: portable Go\n",
		"nonsense": `(ASTERISM_KERNEL refused: kernel: no instruction set "nonsense" here; there is `,
	} {
		c := exec.Command(os.Args[0], "-test.run=^TestEnvironment$")
		c.Env = append(os.Environ(), "ASTERISM_KERNEL_CHILD=1", "ASTERISM_KERNEL="+value)
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("ASTERISM_KERNEL=%s: %v, %s; want %s", value, err, out, want)
		}
	}
}

func TestWrongLengthsPanicWithAClearMessage(t *testing.T) {
	p := NewPool(1)
	defer p.Close()
	g := Conv(1, []int{4}, 2, 3, 3, 1, 1)
	for want, f := range map[string]func(){
		"ConvForward: y has 11 values, want 12": func() {
			p.ConvForward(g, Forward{X: Float32s(make([]float32, 8)), Packed: Float32s(make([]float32, PackedLen(g))), Y: Float32s(make([]float32, 11))})
		},
		"axis 0: size 4, kernel 3, stride 1, padding 1, dilation 1 give 4, not 5": func() {
			g := g
			g.Out = []int{5}
			p.ConvForward(g, Forward{})
		},
		"MatMulNT: b has 0 values, want 6": func() { p.MatMulNT(1, 2, 3, make([]float32, 3), nil, make([]float32, 2)) },
	} {
		func() {
			defer func() {
				r := recover()
				text := ""
				switch r := r.(type) {
				case error:
					text = r.Error()
				case string:
					text = r
				}
				if !strings.Contains(text, want) {
					t.Errorf("panic %v, want %q", r, want)
				}
			}()
			f()
		}()
	}
}

func TestNothingIsAllocatedInASteadyLoop(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	g := Conv(9, []int{6, 6}, 20, 70, 3, 2, 1)
	n := Norm{1, g.OutLen() / 70, 70}
	s := make([]float32, 70)
	square := make([]float32, 70*70)
	pool := Conv(9, []int{6, 6}, 20, 20, 3, 2, 1)
	arg := make([]int32, pool.OutLen())
	norm := make([]float32, n.Rows)
	w, sums := make([]float32, g.WeightLen()), make([]float32, PackedLen(g))
	scratch := make([]float32, ConvWeightGradientScratch(g))
	types := []bool{false}
	if p.set.half != nil {
		types = append(types, true)
	}
	wide := make([]float32, g.OutLen())
	for _, half := range types {
		x, y, top := benchArray(g.InLen(), half), benchArray(g.OutLen(), half), benchArray(pool.OutLen(), half)
		packed, turned := benchArray(PackedLen(g), half), benchArray(PackedInputGradientLen(g), half)
		step := func() {
			p.Pack(sums, g, w)
			p.PackInputGradient(turned, g, sums)
			p.ConvForward(g, Forward{X: x, Packed: packed, Y: y, Moments: Moments{n, s, s}})
			p.ConvInputGradient(g, Backward{Dy: y, Packed: turned, Dx: x})
			p.ConvWeightGradient(g, x, y, sums, scratch)
			p.Unpack(w, g, sums)
			if half {
				p.PackBFloat16(packed.BFloat16(), g, sums)
				p.Convert(y, Float32s(wide))
			}
			p.MatMulNT(n.Rows, 70, 70, wide, square, wide)
			p.MatMulTN(70, 70, n.Rows, wide, wide, square)
			p.BatchNormStatistics(n, y, s, s)
			p.BatchNormApply(n, y, s, s, s, s, 1, Array{}, true, y)
			p.BatchNormReduce(n, y, y, y, s, s, 1, s, s)
			p.BatchNormInputGradient(n, y, y, Array{}, s, s, s, 1, s, s, y, Array{})
			p.MaxPool(pool, x, top, arg)
			p.MaxPoolBackward(pool, top, arg, x)
			p.GlobalAveragePool(9, 9, 70, y, y.First(630))
			p.ColumnSum(n.Rows, 70, y, s)
			p.L2Normalize(n.Rows, 70, 1, wide, wide, norm)
			p.SGD(0, 0, 0, w, w, w)
			p.Fill(0, wide)
		}
		if got := steady(step); got > 0 {
			t.Errorf("%v allocations in a step (bfloat16: %v), want none", got, half)
		}
	}
}
