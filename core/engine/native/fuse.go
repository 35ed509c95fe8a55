package native

// Fusion joins passes over memory that the kernels can do in one: batch norm with the addition and the activation after
// it, and the activation's gradient with the two gradients of batch norm. Fewer values are stored, too.

func (s *schedule) fuse() {
	for n, i := range s.instructions {
		switch i.kind {
		case opAdd:
			if n < s.forward {
				s.fuseResidual(i)
			}
		case opRelu:
			s.fuseActivation(i)
		case opStatistics:
			s.fuseStatistics(i)
		}
	}
	s.compact()
	for _, i := range s.instructions[:s.forward] {
		if i.kind == opNormFixed {
			s.fuseFixed(i)
		}
	}
	s.compact()
	for _, i := range s.instructions[s.forward:] {
		if i.kind == opAdd {
			s.fuseAddend(i)
		}
	}
	s.compact()
	for n := s.forward; n < len(s.instructions); n++ {
		if i := s.instructions[n]; i.kind == opReluInput {
			s.fuseActivationGradient(i, n)
		}
	}
	s.compact()
}

// inner tells whether a value is read by one instruction alone, so that it need not exist.
func (v *value) inner() bool { return len(v.users) == 1 && !v.keep && v.place == inArena }

func (i *instruction) isNorm() bool { return i != nil && (i.kind == opNorm || i.kind == opNormFixed) }

// fuseResidual turns add(norm(x), r) into one instruction. Of two norms the later one takes the other as its residual.
func (s *schedule) fuseResidual(add *instruction) {
	for _, k := range []int{1, 0} {
		norm, other := add.in[k].made, add.in[1-k]
		if norm.isNorm() && add.in[k].inner() && norm.residual == nil && !norm.relu && add.in[k] != other {
			s.replace(add, norm)
			add.residual = other
			return
		}
	}
}

// fuseActivation turns relu(norm(x) [+ r]) into one instruction.
func (s *schedule) fuseActivation(relu *instruction) {
	norm := relu.in[0].made
	if norm.isNorm() && relu.in[0].inner() && !norm.relu {
		residual := norm.residual
		s.replace(relu, norm)
		relu.residual, relu.relu = residual, true
	}
}

// normed tells whether a batch norm's channels are the outputs of the convolution before it: a reshape may lie between.
func (i *instruction) normed(norm *instruction) bool {
	return i != nil && i.kind == opConv && i.conv.OutC == norm.channels
}

// fuseStatistics lets a convolution take the statistics of the batch norm that follows it.
func (s *schedule) fuseStatistics(i *instruction) {
	if conv := i.in[0].made; conv.normed(i) && conv.statistics == nil && i.in[0].place == inArena {
		conv.statistics, i.out.made, i.gone = i, conv, true
	}
}

// fuseFixed lets a convolution do what the batch norm after it does in inference, a scale and a shift for each output, by
// its weights and its bias; the addition and activation that were fused with the norm go with it.
func (s *schedule) fuseFixed(norm *instruction) {
	conv := norm.in[0].made
	if !conv.normed(norm) || !norm.in[0].inner() || conv.unit || conv.fixed != nil {
		return
	}
	fixed := &fixedNorm{epsilon: norm.epsilon}
	for k := range fixed.names {
		fixed.names[k] = norm.in[1+k].name
	}
	residual := norm.residual
	s.replace(norm, conv)
	norm.fixed, norm.addend, norm.residual = fixed, residual, nil
}

// fuseAddend turns add(conv dx, other), where gradients meet, into one instruction.
func (s *schedule) fuseAddend(add *instruction) {
	for _, k := range []int{1, 0} {
		conv, other := add.in[k].made, add.in[1-k]
		if conv != nil && conv.kind == opConvInput && conv.addend == nil && add.in[k].inner() && add.in[k] != other && other.half == add.out.half && add.in[k].half == add.out.half {
			s.replace(add, conv)
			add.addend = other
			return
		}
	}
}

// replace lets an instruction compute what norm did, in its own place and into its own output.
func (s *schedule) replace(i, norm *instruction) {
	if joined := norm.joined; i.sum {
		i.joined = joined
	} else {
		i.joined = append(append(joined, i.layer), i.joined...)
	}
	i.op, i.in = norm.op, norm.in
	norm.gone = true
}

// fuseActivationGradient lets the gradients of batch norm mask dy themselves. The masked gradient is written, by the
// first of them, only where something else reads it: the other way around a residual block.
func (s *schedule) fuseActivationGradient(relu *instruction, position int) {
	y, dy, masked := relu.in[0], relu.in[1], relu.out
	if masked.keep {
		return
	}
	var norms, others []*instruction
	for _, u := range masked.users {
		if u.kind == opNormReduce || u.kind == opNormInput {
			norms = append(norms, u)
		} else {
			others = append(others, u)
		}
	}
	var writer *instruction
	if len(others) > 0 {
		for n := position + 1; n < len(s.instructions); n++ {
			u := s.instructions[n]
			if writer == nil && u.kind == opNormInput && u.in[3] == masked {
				writer = u
			}
			for _, o := range others {
				if o == u && writer == nil {
					return // it is needed before a norm could write it
				}
			}
		}
	}
	if len(norms) == 0 || len(others) > 0 && writer == nil {
		return
	}
	for _, u := range norms {
		for k, v := range u.in {
			if v == masked {
				u.in[k] = dy
			}
		}
		u.mask = y
	}
	if writer != nil {
		writer.masked, masked.made = masked, writer
	}
	relu.gone = true
}
