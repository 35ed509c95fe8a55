package kernel

// Group norm is batch norm whose statistics are of one sample and of several channels together: a Norm with a group for
// each sample, whose statistics [samples, channels] repeat those of each of its groups of channels. BatchNormApply computes
// it, BatchNormReduce what its gradients need, BatchNormParameterGradient those of γ and β.

// GroupNormStatistics computes mean and biased variance, both [samples, Channels], over the rows of each sample and each of
// so many equal groups of its channels: every channel has those of its group.
func (p *Pool) GroupNormStatistics(n Norm, groups int, x Array, mean, variance []float32) {
	const op = "GroupNormStatistics"
	wantStatistics(op, n, mean, variance)
	wantGroups(op, n, groups)
	want(op, "x", x.n, n.length())
	p.begin()
	defer p.end()
	p.batchNormStatistics(n, x, mean, variance)
	size := n.Channels / groups
	for from := 0; from < len(mean); from += size {
		m, v := mean[from:from+size], variance[from:from+size]
		var sum, square float64
		for i := range m {
			sum += float64(m[i])
		}
		sum /= float64(size)
		for i := range m {
			d := float64(m[i]) - sum
			square += float64(v[i]) + d*d
		}
		for i := range m {
			m[i], v[i] = float32(sum), float32(square/float64(size))
		}
	}
}

func wantGroups(op string, n Norm, groups int) {
	if groups < 1 || n.Channels%groups != 0 {
		panic("kernel: " + op + ": the groups must divide the channels")
	}
}

// GroupNormInputGradient computes dx = (g − mean(g) − x̂·mean(g·x̂))/√(variance+eps) with g = γ·dy, means being over the rows
// of a sample and a group of channels, from the statistics and the sums of BatchNormReduce. gamma may be nil. dx may be dy.
func (p *Pool) GroupNormInputGradient(n Norm, groups int, dy, x Array, mean, variance, gamma []float32, eps float32, sumDy, sumDyX []float32, dx Array) {
	const op = "GroupNormInputGradient"
	wantStatistics(op, n, mean, variance)
	wantGroups(op, n, groups)
	want(op, "dy", dy.n, n.length())
	want(op, "x", x.n, n.length())
	wantOptional(op, "gamma", gamma, n.Channels)
	want(op, "sumDy", len(sumDy), n.Groups*n.Channels)
	want(op, "sumDyX", len(sumDyX), n.Groups*n.Channels)
	want(op, "dx", dx.n, n.length())
	p.begin()
	defer p.end()
	c := &p.call
	c.norm, c.params, c.loop, c.arrays = n, 4, p.set.loopsOf(x).inputGradient, [5]Array{dy, x, {}, dx}
	p.params = grow(p.params, 4*len(mean))
	size := n.Channels / groups
	of := func(ch int) float64 {
		if gamma == nil {
			return 1
		}
		return float64(gamma[ch])
	}
	for from := 0; from < len(mean); from += size {
		var sum, along float64
		for i := from; i < from+size; i++ {
			sum += of(i%n.Channels) * float64(sumDy[i])
			along += of(i%n.Channels) * float64(sumDyX[i])
		}
		inv, count := inverse(variance[from], eps), float64(n.Rows*size)
		for i := from; i < from+size; i++ {
			ch := i % n.Channels
			at := p.params[i/n.Channels*4*n.Channels+ch:]
			at[0], at[n.Channels] = float32(of(ch)*inv), float32(-inv*inv*along/count)
			at[2*n.Channels], at[3*n.Channels] = float32(-inv*sum/count), mean[i]
		}
	}
	p.normTasks(n, normRowsTask)
}
