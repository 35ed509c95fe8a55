package bench

import (
	"fmt"
	"slices"
	"strings"

	"github.com/asterism-ssl/asterism/core/kernel"
	"github.com/asterism-ssl/asterism/core/model"
)

// shape is a convolution or linear layer of a network, and how often the network has it.
type shape struct {
	kernel.Geometry
	count    int
	gradient bool // some of them pass a gradient on: all but the one that reads the sample
}

// shapes gives the distinct convolutions and linear layers of a network in the order in which they first come, and the
// names of the layers with products that the kernels' plain convolution is not: those of groups, transposed, attention.
func shapes(g *model.Graph, batch int) (all []shape, others []string) {
	for _, l := range g.Layers {
		if l.FLOPs == 0 {
			continue
		}
		geometry, ok := geometryOf(g, l, batch)
		if !ok {
			others = append(others, l.Name)
			continue
		}
		i := slices.IndexFunc(all, func(s shape) bool { return same(s.Geometry, geometry) })
		if i < 0 {
			i = len(all)
			all = append(all, shape{Geometry: geometry})
		}
		all[i].count++
		all[i].gradient = all[i].gradient || l.From[0] != nil
	}
	return all, others
}

// geometryOf is the kernel's view of a layer; false where it has none.
func geometryOf(g *model.Graph, l *model.Layer, batch int) (kernel.Geometry, bool) {
	in := l.InShape(0)
	rank := len(in) - 1
	switch l.Kind {
	case model.Linear:
		return kernel.Linear(batch*int(model.Size(in[:rank])), int(in[rank]), int(l.Shape[rank])), true
	case model.Conv:
		c := l.GetConv()
		if c.Groups > 1 {
			return kernel.Geometry{}, false
		}
		w, _ := g.Param(c.Weight)
		return kernel.Geometry{Batch: batch, In: ints(in[:rank]), Out: ints(l.Shape[:rank]), InC: int(in[rank]), OutC: int(l.Shape[rank]),
			Kernel: ints(w.Shape[2:]), Stride: ints(c.Stride), Pad: ints(c.Padding), Dilation: ints(c.Dilation)}, true
	}
	return kernel.Geometry{}, false
}

func ints(v []int64) []int {
	s := make([]int, len(v))
	for i, n := range v {
		s[i] = int(n)
	}
	return s
}

func same(a, b kernel.Geometry) bool {
	return a.Batch == b.Batch && a.InC == b.InC && a.OutC == b.OutC && slices.Equal(a.In, b.In) && slices.Equal(a.Out, b.Out) &&
		slices.Equal(a.Kernel, b.Kernel) && slices.Equal(a.Stride, b.Stride) && slices.Equal(a.Pad, b.Pad) && slices.Equal(a.Dilation, b.Dilation)
}

// inside is the share of a layer's taps that lie inside the image. It is a product over the axes, since the image is a box.
func inside(g kernel.Geometry) float64 {
	share := 1.0
	for axis, size := range g.In {
		within := 0
		for o := range g.Out[axis] {
			for k := range g.Kernel[axis] {
				if at := o*g.Stride[axis] - g.Pad[axis] + k*g.Dilation[axis]; at >= 0 && at < size {
					within++
				}
			}
		}
		share *= float64(within) / float64(g.Out[axis]*g.Kernel[axis])
	}
	return share
}

// outside counts the dense FLOPs of a step that multiply by zeros outside the image: once for each forward pass, and in a
// pass with gradient once for the weights and once for the layer's input, unless that is the sample.
func outside(g *model.Graph, batch, passes, gradients int) float64 {
	all, _ := shapes(g, batch)
	total := 0.0
	for _, s := range all {
		each := float64(s.FLOPs()) * (1 - inside(s.Geometry))
		times := float64(s.count * (passes + gradients))
		if s.gradient {
			times += float64(s.count * gradients)
		}
		total += times * each
	}
	return total
}

// sketch writes a shape as people do: "3×3/2 64→128 at 16×16", "linear 2048→128".
func sketch(g kernel.Geometry) string {
	if len(g.Kernel) == 0 {
		return fmt.Sprintf("linear %d→%d", g.InC, g.OutC)
	}
	text := times(g.Kernel)
	if stride := slices.Max(g.Stride); stride > 1 {
		text += "/" + fmt.Sprint(stride)
	}
	return fmt.Sprintf("%s %d→%d at %s", text, g.InC, g.OutC, times(g.In))
}

func times(sizes []int) string {
	text := make([]string, len(sizes))
	for i, n := range sizes {
		text[i] = fmt.Sprint(n)
	}
	return strings.Join(text, "×")
}
