package kernel

// PackedForwardLen is the length of the weights packed for ConvForward.
func PackedForwardLen(g Geometry) int { return g.Taps() * g.InC * roundUp(g.OutC) }

// PackedInputGradientLen is the length of the weights packed for ConvInputGradient.
func PackedInputGradientLen(g Geometry) int { return g.Taps() * g.OutC * roundUp(g.InC) }

// roundUp gives the channels of a packed panel: whole vectors of 16.
func roundUp(c int) int { return (c + 15) &^ 15 }

// PackForward lays out w [OutC, InC, Kernel…] (PyTorch's layout) for ConvForward. Packed weights are for pools of the
// same instruction set, for one geometry up to its Batch, spatial sizes, stride and padding.
func (p *Pool) PackForward(dst []float32, g Geometry, w []float32) {
	g.must()
	want("PackForward", "w", len(w), g.WeightLen())
	wantAtLeast("PackForward", "dst", len(dst), PackedForwardLen(g))
	p.begin()
	defer p.end()
	p.pack(&g, w, dst, false)
}

// PackInputGradient lays out w [OutC, InC, Kernel…] for ConvInputGradient.
func (p *Pool) PackInputGradient(dst []float32, g Geometry, w []float32) {
	g.must()
	want("PackInputGradient", "w", len(w), g.WeightLen())
	wantAtLeast("PackInputGradient", "dst", len(dst), PackedInputGradientLen(g))
	p.begin()
	defer p.end()
	p.pack(&g, w, dst, true)
}

// ConvForward computes y [Batch, Out…, OutC] from x [Batch, In…, InC], weights packed by PackForward and bias [OutC],
// which may be nil. Outside the image x is zero. y is overwritten.
func (p *Pool) ConvForward(g Geometry, x, packed, bias, y []float32) {
	g.must()
	want("ConvForward", "x", len(x), g.InLen())
	wantAtLeast("ConvForward", "packed", len(packed), PackedForwardLen(g))
	want("ConvForward", "y", len(y), g.OutLen())
	if bias != nil {
		want("ConvForward", "bias", len(bias), g.OutC)
	}
	p.begin()
	defer p.end()
	p.convForward(&g, x, packed, bias, y)
}

// ConvInputGradient computes dx [Batch, In…, InC] from dy [Batch, Out…, OutC] and weights packed by PackInputGradient.
// dx is overwritten.
func (p *Pool) ConvInputGradient(g Geometry, dy, packed, dx []float32) {
	g.must()
	want("ConvInputGradient", "dy", len(dy), g.OutLen())
	wantAtLeast("ConvInputGradient", "packed", len(packed), PackedInputGradientLen(g))
	want("ConvInputGradient", "dx", len(dx), g.InLen())
	p.begin()
	defer p.end()
	p.convInputGradient(&g, dy, packed, dx)
}

// ConvWeightGradientScratch is the length of the scratch that ConvWeightGradient needs; its content does not matter.
func ConvWeightGradientScratch(g Geometry) int {
	parts, _ := gradientParts(&g)
	return parts * g.Taps() * g.InC * roundUp(g.OutC)
}

// ConvWeightGradient adds to dw [OutC, InC, Kernel…] (PyTorch's layout) the gradient from x [Batch, In…, InC] and
// dy [Batch, Out…, OutC]. The gradient of a bias is ColumnSum of dy.
func (p *Pool) ConvWeightGradient(g Geometry, x, dy, dw, scratch []float32) {
	g.must()
	want("ConvWeightGradient", "x", len(x), g.InLen())
	want("ConvWeightGradient", "dy", len(dy), g.OutLen())
	want("ConvWeightGradient", "dw", len(dw), g.WeightLen())
	wantAtLeast("ConvWeightGradient", "scratch", len(scratch), ConvWeightGradientScratch(g))
	p.begin()
	defer p.end()
	p.convWeightGradient(&g, x, dy, dw, scratch)
}

// ColumnSum adds to sum [cols] the sums over the rows of x [rows, cols].
func (p *Pool) ColumnSum(rows, cols int, x, sum []float32) {
	want("ColumnSum", "x", len(x), rows*cols)
	want("ColumnSum", "sum", len(sum), cols)
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
func (p *Pool) BatchNormStatistics(n Norm, x, mean, variance []float32) {
	want("BatchNormStatistics", "x", len(x), n.length())
	wantStatistics("BatchNormStatistics", n, mean, variance)
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
func (p *Pool) BatchNormApply(n Norm, x, mean, variance, gamma, beta []float32, eps float32, residual []float32, relu bool, y []float32) {
	const op = "BatchNormApply"
	wantStatistics(op, n, mean, variance)
	want(op, "x", len(x), n.length())
	want(op, "y", len(y), n.length())
	wantOptional(op, "gamma", gamma, n.Channels)
	wantOptional(op, "beta", beta, n.Channels)
	wantOptional(op, "residual", residual, n.length())
	p.begin()
	defer p.end()
	p.batchNormApply(n, x, mean, variance, gamma, beta, eps, residual, relu, y)
}

// BatchNormReduce computes what the gradients need, both [Groups, Channels]: sumDy = Σ dy′ and sumDyX = Σ dy′·x̂, with
// x̂ = (x−mean)/√(variance+eps) and dy′ = dy where y > 0, if y (the output of BatchNormApply with relu) is not nil.
func (p *Pool) BatchNormReduce(n Norm, dy, x, y, mean, variance []float32, eps float32, sumDy, sumDyX []float32) {
	const op = "BatchNormReduce"
	wantStatistics(op, n, mean, variance)
	want(op, "dy", len(dy), n.length())
	want(op, "x", len(x), n.length())
	wantOptional(op, "y", y, n.length())
	want(op, "sumDy", len(sumDy), n.Groups*n.Channels)
	want(op, "sumDyX", len(sumDyX), n.Groups*n.Channels)
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
func (p *Pool) BatchNormInputGradient(n Norm, dy, x, y, mean, variance, gamma []float32, eps float32, sumDy, sumDyX, dx, dresidual []float32) {
	const op = "BatchNormInputGradient"
	wantStatistics(op, n, mean, variance)
	want(op, "dy", len(dy), n.length())
	want(op, "x", len(x), n.length())
	wantOptional(op, "y", y, n.length())
	wantOptional(op, "gamma", gamma, n.Channels)
	want(op, "sumDy", len(sumDy), n.Groups*n.Channels)
	want(op, "sumDyX", len(sumDyX), n.Groups*n.Channels)
	want(op, "dx", len(dx), n.length())
	wantOptional(op, "dresidual", dresidual, n.length())
	p.begin()
	defer p.end()
	p.batchNormInputGradient(n, dy, x, y, mean, variance, gamma, eps, sumDy, sumDyX, dx, dresidual)
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
func (p *Pool) MaxPool(g Geometry, x, y []float32, arg []int32) {
	wantPool("MaxPool", g)
	want("MaxPool", "x", len(x), g.InLen())
	want("MaxPool", "y", len(y), g.OutLen())
	want("MaxPool", "arg", len(arg), g.OutLen())
	p.begin()
	defer p.end()
	p.maxPool(&g, x, y, arg)
}

// MaxPoolBackward computes dx from dy and the arg of MaxPool. dx is overwritten.
func (p *Pool) MaxPoolBackward(g Geometry, dy []float32, arg []int32, dx []float32) {
	wantPool("MaxPoolBackward", g)
	want("MaxPoolBackward", "dy", len(dy), g.OutLen())
	want("MaxPoolBackward", "arg", len(arg), g.OutLen())
	want("MaxPoolBackward", "dx", len(dx), g.InLen())
	p.begin()
	defer p.end()
	p.maxPoolBackward(&g, dy, arg, dx)
}

// GlobalAveragePool computes y [batch, channels], the means over the pixels of x [batch, pixels, channels].
func (p *Pool) GlobalAveragePool(batch, pixels, channels int, x, y []float32) {
	want("GlobalAveragePool", "x", len(x), batch*pixels*channels)
	want("GlobalAveragePool", "y", len(y), batch*channels)
	p.begin()
	defer p.end()
	p.globalAveragePool(batch, pixels, channels, x, y)
}

// GlobalAveragePoolBackward computes dx [batch, pixels, channels] = dy [batch, channels]/pixels.
func (p *Pool) GlobalAveragePoolBackward(batch, pixels, channels int, dy, dx []float32) {
	want("GlobalAveragePoolBackward", "dy", len(dy), batch*channels)
	want("GlobalAveragePoolBackward", "dx", len(dx), batch*pixels*channels)
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
func (p *Pool) ReLU(x, y []float32) {
	want("ReLU", "y", len(y), len(x))
	p.begin()
	defer p.end()
	p.flat(p.set.loops.relu, len(x), [3]float32{}, x, y)
}

// ReLUBackward computes dx = dy where y > 0, else 0; y is ReLU's output (or input). dx may be dy.
func (p *Pool) ReLUBackward(dy, y, dx []float32) {
	want("ReLUBackward", "y", len(y), len(dy))
	want("ReLUBackward", "dx", len(dx), len(dy))
	p.begin()
	defer p.end()
	p.flat(p.set.loops.reluBackward, len(dy), [3]float32{}, dy, y, dx)
}

// Add computes y = a + b. y may be a or b.
func (p *Pool) Add(a, b, y []float32) {
	want("Add", "b", len(b), len(a))
	want("Add", "y", len(y), len(a))
	p.begin()
	defer p.end()
	p.flat(p.set.loops.add, len(y), [3]float32{}, a, b, y)
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
// gradient g, velocity v and weights w.
func (p *Pool) SGD(lr, momentum, weightDecay float32, g, v, w []float32) {
	want("SGD", "v", len(v), len(w))
	want("SGD", "g", len(g), len(w))
	p.begin()
	defer p.end()
	p.flat(p.set.loops.sgd, len(w), [3]float32{lr, momentum, weightDecay}, g, v, w)
}
