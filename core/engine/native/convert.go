package native

// In bfloat16 precision an instruction computes with arrays of one type: bfloat16 where its operator knows it, else
// float32. Arrays of the other type are converted around it, in memory that all instructions share.

// odd tells whether a product sums over an odd number of channels, which bfloat16 cannot.
func (i *instruction) odd() bool {
	return i.kind == opConv && i.conv.InC%2 != 0 || i.kind == opConvInput && i.conv.OutC%2 != 0
}

// half tells whether the instruction computes with bfloat16: its operator does, and some array is.
func (i *instruction) half() bool {
	if !operators[i.kind].half || i.odd() {
		return false
	}
	for _, v := range append(i.reads(), i.writes()...) {
		if v.half {
			return true
		}
	}
	return false
}

// converts tells whether a value is converted around the instruction.
func (i *instruction) converts(v *value, half bool) bool {
	switch {
	case v == nil || v.sample == 0 || v.whole || v.half == half:
		return false
	case v == i.out && half && operators[i.kind].wide && i.addend == nil:
		return false
	}
	return true
}

// shadows is the memory, in float32, for what is converted around the instruction.
func (i *instruction) shadows(batch int) int {
	n, half := 0, i.half()
	for _, v := range append(i.reads(), i.writes()...) {
		if i.converts(v, half) {
			n += align(v.size(batch))
		}
	}
	return n
}

// converted makes the function of an instruction, with the conversions around it.
func (n *network) converted(q *passPlan, i *instruction, run func(*network, *passPlan, *instruction) func(int)) func(int) {
	half, at := i.half(), 0
	shadows := map[*value]*value{}
	shadow := func(v *value) *value {
		if !i.converts(v, half) {
			return v
		}
		if shadows[v] == nil {
			s := *v
			s.half = half
			s.data = n.slabs.shadows[at:][:s.room(n.batch)]
			at += align(v.size(n.batch))
			shadows[v] = &s
		}
		return shadows[v]
	}
	var before, after []*value
	for _, v := range i.reads() {
		if i.converts(v, half) {
			before = append(before, v)
		}
	}
	for _, v := range i.writes() {
		if i.converts(v, half) {
			after = append(after, v)
		}
	}
	if len(before)+len(after) == 0 {
		return run(n, q, i)
	}
	c := *i
	c.in = nil
	for _, v := range i.in {
		c.in = append(c.in, shadow(v))
	}
	c.out, c.side, c.residual, c.mask, c.masked, c.addend = shadow(i.out), shadow(i.side), shadow(i.residual), shadow(i.mask), shadow(i.masked), shadow(i.addend)
	f := run(n, q, &c)
	return func(b int) {
		for _, v := range before {
			n.pool.Convert(v.array(b), shadows[v].array(b))
		}
		f(b)
		for _, v := range after {
			n.pool.Convert(shadows[v].array(b), v.array(b))
		}
	}
}
