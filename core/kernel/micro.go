package kernel

import "unsafe"

//go:generate go run ./gen

// productArgs describes one tile of a product: for each row i < rows and output j < width, the sum
//
//	s = Σ over taps t, k < depth of table[t·rows+i][k] · weights[(offsets[t]+k)·width + j]
//
// where width is a whole number of vectors. Then, in this order and each only where its field is set: what from[i] holds is
// added, and bias[j]; sums takes s − shift[j] and its square, summed over the rows; the addend is added; negative values
// become zero. Values are stored as float32, or as bfloat16 if narrow is set. mask says how many values of the last vector
// are stored, and read of from, bias and the addend. In tiles of bfloat16, x, the weights and the addend are bfloat16, and
// depth and offsets count pairs: a weight is a pair of values of neighbouring k. The last three fields are the
// assembly's own.
type productArgs struct {
	table      unsafe.Pointer // [taps][rows] addresses of x
	offsets    unsafe.Pointer // [taps] int64, in rows of width
	weights    unsafe.Pointer
	taps       int64
	depth      int64
	mask       unsafe.Pointer // AVX-512: 16 bits; AVX2: 8 int32; portable: int64 count of outputs
	from       unsafe.Pointer // [rows] addresses of float32
	fromColumn int64          // bytes
	bias       unsafe.Pointer
	sums       unsafe.Pointer // [2][width] float32
	shift      unsafe.Pointer
	out        unsafe.Pointer // [rows] addresses of y
	column     int64          // bytes
	addend     int64          // not 0: there is one
	addendAt   int64          // bytes from y to it
	relu       int64
	narrow     int64

	//lint:ignore U1000 the assembly's own
	tableAt, offsetsAt, left uintptr
}

// gradientArgs describes one tile of a weight gradient: for each channel i < rows and output j < width,
//
//	sum[i·stride + j] += Σ over pairs (a, b) of x[a+i]·dy[b+j]
//
// where dy is read only as far as mask says. In tiles of bfloat16 a value of x and dy is a pair: of two pixels.
type gradientArgs struct {
	pairs  unsafe.Pointer // [count] of two int32
	count  int64          // at least 1
	x, dy  unsafe.Pointer
	sum    unsafe.Pointer
	stride int64
	mask   unsafe.Pointer

	set int64 // not 0: sum is set, not added to

	// Memory that is needed soon is fetched on the way: a line for each pair, step bytes apart.
	next unsafe.Pointer
	step int64
}

// copyArgs describes a copy of rows ≥ 1 rows side by side: to[r·stride + j] = from[offsets[2r] + j], zero where the mask
// of the last vector leaves out. For bfloat16, it is the pair of that and from[offsets[2r+1] + j], where a negative offset
// stands for a row of zeros.
type copyArgs struct {
	from, to unsafe.Pointer
	rows     int64
	stride   int64
	offsets  unsafe.Pointer // int32
	mask     unsafe.Pointer
	zeros    unsafe.Pointer
}

// rowArgs describes a loop over rows ≥ 1 rows of the same columns in up to five streams (s0…s4), each with a stride of its
// own, beside up to four parameters per column (p0…p3) and three scalars (k0…k2). loops says what each one computes.
type rowArgs struct {
	rows    int64
	whole   int64 // bytes of whole vectors of a row
	tail    int64 // values left over
	mask    unsafe.Pointer
	streams [5]unsafe.Pointer
	strides [5]int64 // bytes
	params  [4]unsafe.Pointer
	scalars [3]float32
	tap     int32

	rowStreams [5][]float32 // the portable loops' own: a row as slices
	rowParams  [4][]float32
}

// columns sets the width of the rows.
func (a *rowArgs) columns(s *set, n int) {
	a.whole = int64(n / s.vec * s.vec * 4)
	a.tail = int64(n % s.vec)
	a.mask = s.masks[n%s.vec]
}

// stream sets a stream that starts at x[at], with a stride in values.
func (a *rowArgs) stream(i int, x []float32, at, stride int) {
	a.streams[i], a.strides[i] = unsafe.Pointer(&x[at]), int64(4*stride)
}

// array is stream for either type.
func (a *rowArgs) array(i int, x Array, at, stride int) {
	a.streams[i], a.strides[i] = x.at(at), int64(x.bytes()*stride)
}

// loops are the row loops of an instruction set; portableLoops says what each computes.
type loops struct {
	add, scale, axpy, lerp, fill, relu, reluBackward, sgd     func(*rowArgs)
	columnSum, spread, moments, defects                       func(*rowArgs)
	normalise, normaliseReLU, normaliseAdd, normaliseAddReLU  func(*rowArgs)
	reduce, reduceMasked                                      func(*rowArgs)
	inputGradient, inputGradientMasked, inputGradientResidual func(*rowArgs)
	exp, columnMax                                            func(*rowArgs)
	maxPool, maxPoolBackward                                  func(*rowArgs)
	widen, narrow, weave                                      func(*rowArgs) // of bfloat16
}

// set is an instruction set: its tiles and vector loops.
type set struct {
	name, title string
	vec         int // values of a vector
	width       int // outputs of the widest tile
	products    [][]func(*productArgs)
	gradients   [][]func(*gradientArgs)
	copies      []func(*copyArgs)
	loops       loops
	turn        func(*turnArgs)
	turnAdd     func(*turnArgs)
	masks       []unsafe.Pointer // by values of the last vector, 1…vec
	half        *halfSet         // nil where bfloat16 cannot be computed
}

// halfSet are the tiles and loops of an instruction set for bfloat16. Of the loops, it has those whose streams may be.
type halfSet struct {
	products  [][]func(*productArgs)
	gradients [][]func(*gradientArgs)
	copies    []func(*copyArgs)
	loops     loops
	turnPairs func(*turnArgs)
}

// loopsOf gives the loops for an array's type.
func (s *set) loopsOf(a Array) *loops {
	if a.half {
		return &s.half.loops
	}
	return &s.loops
}

// height is the number of rows of the tallest product tile of so many vectors.
func (s *set) height(vecs int) int { return len(s.products[vecs]) - 1 }

// panel gives the width of weight panel t of so many outputs: full, or whole vectors for the last.
func (s *set) panel(outputs, t int) int {
	w := min(s.width, outputs-t*s.width)
	return (w + s.vec - 1) / s.vec * s.vec
}

// mask gives the mask of the last vector of a tile with so many outputs.
func (s *set) mask(outputs int) unsafe.Pointer { return s.masks[(outputs-1)%s.vec+1] }
