// Package kernel computes the products, normalisations and passes over memory that networks are made of.
//
// Activations are channels-last: the channels of a pixel (of a sample, of a token) are one contiguous row of float32. A
// convolution of rank 0 to 3 is one register-tiled product that is handed, per tap, pointers to the rows that it needs
// (a row of zeros outside the image). Nothing is unfolded; only weights are packed, and mostly stay so. A linear layer is the
// convolution of rank 0. Depthwise convolutions, which have no such product, take channels apart, a vector at a time, into
// buffers that stay in the cache, where taps stream over neighbouring pixels; other groups are copied side by side.
//
//	p := kernel.NewPool(0) // all processors
//	defer p.Close()
//	g := kernel.Conv(128, []int{32, 32}, 64, 128, 3, 2, 1) // 3×3, stride 2, padding 1
//	packed := make([]float32, kernel.PackedLen(g))
//	p.Pack(packed, g, w) // w [128, 64, 3, 3], PyTorch's layout
//	p.ConvForward(g, kernel.Forward{X: x, Packed: kernel.Float32s(packed), Y: y}) // x [128, 32, 32, 64] → y [128, 16, 16, 128]
//
// Activations are an Array, of float32 or, where the processor has AVX-512 BF16, of bfloat16, which products sum in
// float32. A product can take the mean and variance of its outputs on the way, add another array, and drop what is negative.
//
// Every operation is a method of Pool, which splits it over a fixed number of threads. The split follows from the shapes
// alone, so the same inputs give the same bits for any number of threads, on the same instruction set. Nothing is
// allocated once a pool has seen its largest call.
//
// The plain Go twins in naive.go say exactly what each operation computes, in float64; tests compare every instruction
// set with them. Products and reductions differ from the twins by at most about 1e-6 of the sum of the magnitudes that
// they add; element-wise operations by a rounding or two.
//
// The instruction set (AVX-512, AVX2 with FMA, or portable Go) is chosen when the program starts; the environment
// variable ASTERISM_KERNEL (avx512, avx2, portable) or Select forces one. Build with the tag noasm to leave assembly out.
//
// Slices of the wrong length are a defect of the caller: operations panic before touching memory. Geometry.Check tells
// beforehand whether a geometry makes sense. Outputs must not overlap inputs, except where a method says so.
package kernel
