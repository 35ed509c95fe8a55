package kernel

// Forward is what ConvForward computes with: y [Batch, Out…, OutC] from x [Batch, In…, InC].
type Forward struct {
	X, Y    Array
	Packed  Array     // weights of the type of X: of Pack, or of PackBFloat16
	Bias    []float32 // [OutC]; may be nil
	Moments Moments   // if it has groups, takes them of Y; not with Addend or ReLU
	Addend  Array     // added, like Y; may be none, or Y itself
	ReLU    bool      // then negative values become zero
}

// Moments are the mean and biased variance of the outputs of a convolution, taken on the way for the batch norm after it.
type Moments struct {
	Norm           Norm
	Mean, Variance []float32 // [Groups, Channels]
}

// ConvForward computes a convolution. Outside the image x is zero. Y is overwritten; it may be float32 where X is
// bfloat16. For bfloat16, InC must be even.
func (p *Pool) ConvForward(g Geometry, f Forward) {
	const op = "ConvForward"
	g.must()
	want(op, "x", f.X.n, g.InLen())
	wantAtLeast(op, "packed", f.Packed.n, PackedLen(g))
	want(op, "y", f.Y.n, g.OutLen())
	wantOptional(op, "bias", f.Bias, g.OutC)
	p.wantTypes(op, f.X, f.Packed, f.Y, f.Addend, g.InC)
	m := &f.Moments
	if m.Norm.Groups > 0 {
		if m.Norm.Channels != g.OutC || m.Norm.length() != g.OutLen() || g.Batch%m.Norm.Groups != 0 || !f.Addend.None() || f.ReLU {
			panic("kernel: ConvForward: the moments are not of its outputs")
		}
		wantStatistics(op, m.Norm, m.Mean, m.Variance)
	}
	p.begin()
	defer p.end()
	fit := momentsFit(&g, m.Norm)
	p.convForward(&g, &f, fit)
	if m.Norm.Groups > 0 && !fit {
		p.call = call{}
		p.batchNormStatistics(m.Norm, f.Y, m.Mean, m.Variance)
	}
}

// Backward is what ConvInputGradient computes with: dx [Batch, In…, InC] from dy [Batch, Out…, OutC].
type Backward struct {
	Dy, Dx Array
	Packed Array // weights of the type of Dy, of PackInputGradient
	Addend Array // added, like Dx; may be none, or Dx itself
}

// ConvInputGradient computes the gradient of a convolution's input. Dx is overwritten. For bfloat16, OutC must be even.
func (p *Pool) ConvInputGradient(g Geometry, b Backward) {
	const op = "ConvInputGradient"
	g.must()
	want(op, "dy", b.Dy.n, g.OutLen())
	wantAtLeast(op, "packed", b.Packed.n, PackedInputGradientLen(g))
	want(op, "dx", b.Dx.n, g.InLen())
	p.wantTypes(op, b.Dy, b.Packed, b.Dx, b.Addend, g.OutC)
	p.begin()
	defer p.end()
	p.convInputGradient(&g, b)
}

// wantTypes panics unless a product's types go together.
func (p *Pool) wantTypes(op string, x, packed, y, addend Array, depth int) {
	if x.half != packed.half || y.half && !x.half || !addend.None() && addend.half != y.half {
		panic("kernel: " + op + ": the types of its arrays do not go together")
	}
	if x.half {
		p.wantHalf(op, depth)
	}
	if !addend.None() {
		want(op, "addend", addend.n, y.n)
		if y.half != x.half {
			panic("kernel: " + op + ": an addend is of the type of the product's factors")
		}
	}
}

// ConvWeightGradientScratch is the length of the scratch that ConvWeightGradient needs; its content does not matter.
func ConvWeightGradientScratch(g Geometry) int {
	s := splitGradient(&g, 1)
	if s.parts == 1 {
		return 0
	}
	return s.parts * s.size()
}

// ConvWeightGradient adds to dw, which is packed as by Pack, the gradient from x [Batch, In…, InC] and dy
// [Batch, Out…, OutC], both of one type. The gradient of a bias is ColumnSum of dy.
func (p *Pool) ConvWeightGradient(g Geometry, x, dy Array, dw, scratch []float32) {
	const op = "ConvWeightGradient"
	g.must()
	want(op, "x", x.n, g.InLen())
	want(op, "dy", dy.n, g.OutLen())
	wantAtLeast(op, "dw", len(dw), PackedLen(g))
	wantAtLeast(op, "scratch", len(scratch), ConvWeightGradientScratch(g))
	p.wantTypes(op, x, dy, x, Array{}, 2)
	p.begin()
	defer p.end()
	p.weightGradient(&g, x, dy, dw, scratch)
}

// ColumnSum adds to sum [cols] the sums over the rows of x [rows, cols].
func (p *Pool) ColumnSum(rows, cols int, x Array, sum []float32) {
	want("ColumnSum", "x", x.n, rows*cols)
	want("ColumnSum", "sum", len(sum), cols)
	p.alike("ColumnSum", x)
	p.begin()
	defer p.end()
	p.columnSum(rows, cols, x, sum)
}

// MatMulNT computes c [m, n] = a·bᵀ of a [m, k] and b [n, k]: every row of a with every row of b.
func (p *Pool) MatMulNT(m, n, k int, a, b, c []float32) {
	wantMatMul("MatMulNT", m, n, k, a, b, c)
	p.begin()
	defer p.end()
	p.matMul(m, n, k, a, b, true, c)
}

// MatMulNN computes c [m, n] = a·b of a [m, k] and b [k, n].
func (p *Pool) MatMulNN(m, n, k int, a, b, c []float32) {
	wantMatMul("MatMulNN", m, n, k, a, b, c)
	p.begin()
	defer p.end()
	p.matMul(m, n, k, a, b, false, c)
}

// MatMulTN computes c [m, n] = aᵀ·b of a [k, m] and b [k, n].
func (p *Pool) MatMulTN(m, n, k int, a, b, c []float32) {
	wantMatMul("MatMulTN", m, n, k, a, b, c)
	p.begin()
	defer p.end()
	p.matMulTN(m, n, k, a, b, c)
}

func wantMatMul(op string, m, n, k int, a, b, c []float32) {
	want(op, "a", len(a), m*k)
	want(op, "b", len(b), n*k)
	want(op, "c", len(c), m*n)
}

// Norm is the shape of a batch norm: x is [Groups·Rows, Channels], and each group of Rows consecutive rows (pixels of
// consecutive samples) has statistics of its own. Plain batch norm has one group.
type Norm struct{ Groups, Rows, Channels int }

func (n Norm) length() int { return n.Groups * n.Rows * n.Channels }

// BatchNormStatistics computes mean and biased variance, both [Groups, Channels], of x.
func (p *Pool) BatchNormStatistics(n Norm, x Array, mean, variance []float32) {
	want("BatchNormStatistics", "x", x.n, n.length())
	wantStatistics("BatchNormStatistics", n, mean, variance)
	p.alike("BatchNormStatistics", x)
	p.begin()
	defer p.end()
	p.batchNormStatistics(n, x, mean, variance)
}

func wantStatistics(op string, n Norm, mean, variance []float32) {
	if n.Groups < 1 || n.Rows < 1 || n.Channels < 1 {
		panic("kernel: " + op + ": groups, rows and channels must be at least 1")
	}
	want(op, "mean", len(mean), n.Groups*n.Channels)
	want(op, "variance", len(variance), n.Groups*n.Channels)
}

func wantOptional(op, name string, s []float32, need int) {
	if s != nil {
		want(op, name, len(s), need)
	}
}

// BatchNormUpdate moves running statistics [Channels] as PyTorch does: running ← (1−momentum)·running + momentum·batch,
// with the unbiased variance; several groups count by the average of their statistics.
func (p *Pool) BatchNormUpdate(n Norm, momentum float32, mean, variance, runningMean, runningVariance []float32) {
	wantStatistics("BatchNormUpdate", n, mean, variance)
	want("BatchNormUpdate", "runningMean", len(runningMean), n.Channels)
	want("BatchNormUpdate", "runningVariance", len(runningVariance), n.Channels)
	unbiased := float64(n.Rows) / float64(max(n.Rows-1, 1))
	m := float64(momentum)
	for c := range n.Channels {
		var a, b float64
		for g := range n.Groups {
			a += float64(mean[g*n.Channels+c])
			b += float64(variance[g*n.Channels+c])
		}
		a, b = a/float64(n.Groups), b/float64(n.Groups)*unbiased
		runningMean[c] = float32((1-m)*float64(runningMean[c]) + m*a)
		runningVariance[c] = float32((1-m)*float64(runningVariance[c]) + m*b)
	}
}

// BatchNormApply computes y = γ·(x−mean)/√(variance+eps) + β (+ residual), and then max(·, 0) if relu. gamma, beta
// [Channels] and residual (like x) may be nil. Inference is one group with running statistics. y may be x or residual.
func (p *Pool) BatchNormApply(n Norm, x Array, mean, variance, gamma, beta []float32, eps float32, residual Array, relu bool, y Array) {
	const op = "BatchNormApply"
	wantStatistics(op, n, mean, variance)
	want(op, "x", x.n, n.length())
	want(op, "y", y.n, n.length())
	wantOptional(op, "gamma", gamma, n.Channels)
	wantOptional(op, "beta", beta, n.Channels)
	wantArray(op, "residual", residual, n.length())
	p.alike(op, x, residual, y)
	p.begin()
	defer p.end()
	p.batchNormApply(n, x, mean, variance, gamma, beta, eps, residual, relu, y)
}

// BatchNormReduce computes what the gradients need, both [Groups, Channels]: sumDy = Σ dy′ and sumDyX = Σ dy′·x̂, with
// x̂ = (x−mean)/√(variance+eps) and dy′ = dy where y > 0, if y (the output of BatchNormApply with relu) is not nil.
func (p *Pool) BatchNormReduce(n Norm, dy, x, y Array, mean, variance []float32, eps float32, sumDy, sumDyX []float32) {
	const op = "BatchNormReduce"
	wantStatistics(op, n, mean, variance)
	want(op, "dy", dy.n, n.length())
	want(op, "x", x.n, n.length())
	wantArray(op, "y", y, n.length())
	want(op, "sumDy", len(sumDy), n.Groups*n.Channels)
	want(op, "sumDyX", len(sumDyX), n.Groups*n.Channels)
	p.alike(op, dy, x, y)
	p.begin()
	defer p.end()
	p.batchNormReduce(n, dy, x, y, mean, variance, eps, sumDy, sumDyX)
}

// BatchNormParameterGradient adds the gradients of γ and β [Channels]: dgamma += Σ over groups of sumDyX, dbeta += Σ of
// sumDy. Either may be nil.
func (p *Pool) BatchNormParameterGradient(n Norm, sumDy, sumDyX, dgamma, dbeta []float32) {
	const op = "BatchNormParameterGradient"
	want(op, "sumDy", len(sumDy), n.Groups*n.Channels)
	want(op, "sumDyX", len(sumDyX), n.Groups*n.Channels)
	wantOptional(op, "dgamma", dgamma, n.Channels)
	wantOptional(op, "dbeta", dbeta, n.Channels)
	for _, s := range [2]struct{ from, to []float32 }{{sumDyX, dgamma}, {sumDy, dbeta}} {
		for c := range s.to {
			v := float64(s.to[c])
			for g := range n.Groups {
				v += float64(s.from[g*n.Channels+c])
			}
			s.to[c] = float32(v)
		}
	}
}

// BatchNormInputGradient computes dx = γ/√(variance+eps)·(dy′ − sumDy/Rows − x̂·sumDyX/Rows), with dy′, x̂ and the sums
// of BatchNormReduce, and dresidual = dy′ unless that is nil. gamma may be nil. dx or dresidual may be dy.
func (p *Pool) BatchNormInputGradient(n Norm, dy, x, y Array, mean, variance, gamma []float32, eps float32, sumDy, sumDyX []float32, dx, dresidual Array) {
	const op = "BatchNormInputGradient"
	wantStatistics(op, n, mean, variance)
	want(op, "dy", dy.n, n.length())
	want(op, "x", x.n, n.length())
	wantArray(op, "y", y, n.length())
	wantOptional(op, "gamma", gamma, n.Channels)
	want(op, "sumDy", len(sumDy), n.Groups*n.Channels)
	want(op, "sumDyX", len(sumDyX), n.Groups*n.Channels)
	want(op, "dx", dx.n, n.length())
	wantArray(op, "dresidual", dresidual, n.length())
	p.alike(op, dy, x, y, dx, dresidual)
	p.begin()
	defer p.end()
	p.batchNormInputGradient(n, dy, x, y, mean, variance, gamma, eps, sumDy, sumDyX, dx, dresidual)
}

// alike panics unless arrays, none among them aside, are of one type that the instruction set computes with.
func (p *Pool) alike(op string, arrays ...Array) {
	for _, a := range arrays {
		if !a.None() && a.half != arrays[0].half {
			panic("kernel: " + op + ": the types of its arrays do not go together")
		}
	}
	if arrays[0].half {
		p.wantHalf(op, 0)
	}
}

// wantArray is wantOptional for arrays.
func wantArray(op, name string, a Array, need int) {
	if !a.None() {
		want(op, name, a.n, need)
	}
}

func wantPool(op string, g Geometry) {
	g.must()
	if g.InC != g.OutC {
		panic("kernel: " + op + ": pooling keeps channels: InC must be OutC")
	}
	for i, k := range g.Kernel {
		if 2*at(g.Pad, i, 0) > k {
			panic("kernel: " + op + ": padding must be at most half the window")
		}
	}
}

// MaxPool computes y [Batch, Out…, OutC], the greatest values of the windows of x [Batch, In…, InC], and arg (like y):
// the tap, counted through the window with the last axis fastest, that held it: the first of equals, the last of NaNs,
// which win; −1 where all are −∞, whose gradient is dropped. InC must be OutC, padding at most half the window.
func (p *Pool) MaxPool(g Geometry, x, y Array, arg []int32) {
	wantPool("MaxPool", g)
	want("MaxPool", "x", x.n, g.InLen())
	want("MaxPool", "y", y.n, g.OutLen())
	want("MaxPool", "arg", len(arg), g.OutLen())
	p.alike("MaxPool", x, y)
	p.begin()
	defer p.end()
	p.maxPool(&g, x, y, arg)
}

// MaxPoolBackward computes dx from dy and the arg of MaxPool. dx is overwritten.
func (p *Pool) MaxPoolBackward(g Geometry, dy Array, arg []int32, dx Array) {
	wantPool("MaxPoolBackward", g)
	want("MaxPoolBackward", "dy", dy.n, g.OutLen())
	want("MaxPoolBackward", "arg", len(arg), g.OutLen())
	want("MaxPoolBackward", "dx", dx.n, g.InLen())
	p.alike("MaxPoolBackward", dy, dx)
	p.begin()
	defer p.end()
	p.maxPoolBackward(&g, dy, arg, dx)
}

// GlobalAveragePool computes y [batch, channels], the means over the pixels of x [batch, pixels, channels]. y may be
// float32 where x is bfloat16.
func (p *Pool) GlobalAveragePool(batch, pixels, channels int, x, y Array) {
	want("GlobalAveragePool", "x", x.n, batch*pixels*channels)
	want("GlobalAveragePool", "y", y.n, batch*channels)
	p.alike("GlobalAveragePool", x)
	p.begin()
	defer p.end()
	p.globalAveragePool(batch, pixels, channels, x, y)
}

// GlobalAveragePoolBackward computes dx [batch, pixels, channels] = dy [batch, channels]/pixels.
func (p *Pool) GlobalAveragePoolBackward(batch, pixels, channels int, dy, dx Array) {
	want("GlobalAveragePoolBackward", "dy", dy.n, batch*channels)
	want("GlobalAveragePoolBackward", "dx", dx.n, batch*pixels*channels)
	p.alike("GlobalAveragePoolBackward", dy, dx)
	p.begin()
	defer p.end()
	p.globalAveragePoolBackward(batch, pixels, channels, dy, dx)
}

// L2Normalize divides the rows of x [rows, cols] by their lengths, or by eps where they are shorter (PyTorch's
// F.normalize has eps 1e-12). norm [rows] receives the divisors. y may be x.
func (p *Pool) L2Normalize(rows, cols int, eps float32, x, y, norm []float32) {
	want("L2Normalize", "x", len(x), rows*cols)
	want("L2Normalize", "y", len(y), rows*cols)
	want("L2Normalize", "norm", len(norm), rows)
	p.begin()
	defer p.end()
	p.call.streams = [5][]float32{x, y, norm}
	p.call.scalars[0] = eps
	p.rowTasks(rows, cols, normalizeTask)
}

// L2NormalizeBackward computes dx = (dy − y·(y·dy))/norm for rows of y and norm from L2Normalize. dx may be dy.
func (p *Pool) L2NormalizeBackward(rows, cols int, y, norm, dy, dx []float32) {
	want("L2NormalizeBackward", "y", len(y), rows*cols)
	want("L2NormalizeBackward", "norm", len(norm), rows)
	want("L2NormalizeBackward", "dy", len(dy), rows*cols)
	want("L2NormalizeBackward", "dx", len(dx), rows*cols)
	p.begin()
	defer p.end()
	p.call.streams = [5][]float32{y, norm, dy, dx}
	p.rowTasks(rows, cols, normalizeBackwardTask)
}

// LogSumExp computes lse [rows] = ln Σ over columns of exp(scale·x) of x [rows, cols]; scale is 1/temperature.
func (p *Pool) LogSumExp(rows, cols int, scale float32, x, lse []float32) {
	want("LogSumExp", "x", len(x), rows*cols)
	want("LogSumExp", "lse", len(lse), rows)
	p.begin()
	defer p.end()
	p.call.streams = [5][]float32{x, lse}
	p.call.scalars[0] = scale
	p.rowTasks(rows, cols, logSumExpTask)
}

// RowMax computes y [rows], the greatest value of each row of x [rows, cols]; −∞ of an empty row.
func (p *Pool) RowMax(rows, cols int, x, y []float32) {
	want("RowMax", "x", len(x), rows*cols)
	want("RowMax", "y", len(y), rows)
	p.begin()
	defer p.end()
	p.call.streams = [5][]float32{x, y}
	p.rowTasks(rows, cols, rowMaxTask)
}

// Softmax computes y = exp(scale·x − lse of the row), for lse from LogSumExp; e⁻⁸⁷ and less is 0. y may be x.
func (p *Pool) Softmax(rows, cols int, scale float32, x, lse, y []float32) {
	want("Softmax", "x", len(x), rows*cols)
	want("Softmax", "lse", len(lse), rows)
	want("Softmax", "y", len(y), rows*cols)
	p.begin()
	defer p.end()
	p.call.streams = [5][]float32{x, lse, y}
	p.call.scalars[0] = scale
	p.rowTasks(rows, cols, softmaxTask)
}

// ReLU computes y = max(x, 0); NaN stays. y may be x.
func (p *Pool) ReLU(x, y Array) {
	want("ReLU", "y", y.n, x.n)
	p.alike("ReLU", x, y)
	p.begin()
	defer p.end()
	p.flatArrays(p.set.loopsOf(x).relu, x, y)
}

// ReLUBackward computes dx = dy where y > 0, else 0; y is ReLU's output (or input). dx may be dy.
func (p *Pool) ReLUBackward(dy, y, dx Array) {
	want("ReLUBackward", "y", y.n, dy.n)
	want("ReLUBackward", "dx", dx.n, dy.n)
	p.alike("ReLUBackward", dy, y, dx)
	p.begin()
	defer p.end()
	p.flatArrays(p.set.loopsOf(dy).reluBackward, dy, y, dx)
}

// Add computes y = a + b. y may be a or b.
func (p *Pool) Add(a, b, y Array) {
	want("Add", "b", b.n, a.n)
	want("Add", "y", y.n, a.n)
	p.alike("Add", a, b, y)
	p.begin()
	defer p.end()
	p.flatArrays(p.set.loopsOf(a).add, a, b, y)
}

// Convert copies x into y, of the other type: bfloat16 is rounded to nearest even.
func (p *Pool) Convert(x, y Array) {
	want("Convert", "y", y.n, x.n)
	if x.half == y.half {
		panic("kernel: Convert: both arrays are of one type")
	}
	p.wantHalf("Convert", 0)
	p.begin()
	defer p.end()
	loop := p.set.half.loops.narrow
	if x.half {
		loop = p.set.half.loops.widen
	}
	p.flatArrays(loop, x, y)
}

// Scale computes y = alpha·x. y may be x.
func (p *Pool) Scale(alpha float32, x, y []float32) {
	want("Scale", "y", len(y), len(x))
	p.begin()
	defer p.end()
	p.flat(p.set.loops.scale, len(y), [3]float32{alpha}, x, y)
}

// Axpy computes y ← y + alpha·x.
func (p *Pool) Axpy(alpha float32, x, y []float32) {
	want("Axpy", "y", len(y), len(x))
	p.begin()
	defer p.end()
	p.flat(p.set.loops.axpy, len(y), [3]float32{alpha}, x, y)
}

// Lerp computes y ← m·y + (1−m)·x, the update of a momentum network.
func (p *Pool) Lerp(m float32, x, y []float32) {
	want("Lerp", "y", len(y), len(x))
	p.begin()
	defer p.end()
	p.flat(p.set.loops.lerp, len(y), [3]float32{m, float32(1 - float64(m))}, x, y)
}

// Fill sets every value of y to v.
func (p *Pool) Fill(v float32, y []float32) {
	p.begin()
	defer p.end()
	p.flat(p.set.loops.fill, len(y), [3]float32{v}, y)
}

// SGD is a step of stochastic gradient descent in PyTorch's form: v ← momentum·v + g + weightDecay·w; w ← w − lr·v, for
// gradient g, velocity v and weights w. The gradient is cleared for the next step.
func (p *Pool) SGD(lr, momentum, weightDecay float32, g, v, w []float32) {
	want("SGD", "v", len(v), len(w))
	want("SGD", "g", len(g), len(w))
	p.begin()
	defer p.end()
	p.flat(p.set.loops.sgd, len(w), [3]float32{lr, momentum, weightDecay}, g, v, w)
}
