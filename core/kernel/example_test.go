package kernel_test

import (
	"fmt"

	"github.com/asterism-ssl/asterism/core/kernel"
)

// A convolution of a line of five pixels, its gradients, and the same with two threads.
func Example() {
	p := kernel.NewPool(2)
	defer p.Close()
	g := kernel.Conv(1, []int{5}, 1, 1, 3, 1, 1) // one sample, one channel, kernel 3, stride 1, padding 1
	x := []float32{1, 2, 3, 4, 5}
	w := []float32{1, 0, -1}

	packed := make([]float32, kernel.PackedLen(g))
	p.Pack(packed, g, w)
	y := make([]float32, g.OutLen())
	p.ConvForward(g, kernel.Forward{X: kernel.Float32s(x), Packed: kernel.Float32s(packed), Y: kernel.Float32s(y)})
	fmt.Println("y ", y)

	dy := []float32{0, 0, 1, 0, 0}
	turned := make([]float32, kernel.PackedInputGradientLen(g))
	p.PackInputGradient(kernel.Float32s(turned), g, packed)
	dx := make([]float32, g.InLen())
	p.ConvInputGradient(g, kernel.Backward{Dy: kernel.Float32s(dy), Packed: kernel.Float32s(turned), Dx: kernel.Float32s(dx)})
	fmt.Println("dx", dx)

	sums := make([]float32, kernel.PackedLen(g))
	p.ConvWeightGradient(g, kernel.Float32s(x), kernel.Float32s(dy), sums, make([]float32, kernel.ConvWeightGradientScratch(g)))
	dw := make([]float32, g.WeightLen())
	p.Unpack(dw, g, sums)
	fmt.Println("dw", dw)
	// Output:
	// y  [-2 -2 -2 -2 4]
	// dx [0 1 0 -1 0]
	// dw [2 3 4]
}
