package model

import "slices"

func (c *checker) concat(l *Layer) error {
	first := l.InShape(0)
	if err := axis(l, l.GetConcat().GetAxis()); err != nil {
		return err
	}
	l.Shape = slices.Clone(first)
	for i := 1; i < len(l.From); i++ {
		in := slices.Clone(l.InShape(i))
		if len(in) == len(first) {
			l.Shape[l.Axis] += in[l.Axis]
			in[l.Axis] = first[l.Axis]
		}
		if !slices.Equal(in, first) {
			return broken("layer %q (concat): its inputs have the shapes %v and %v; they may differ along axis %d only", l.Name, first, l.InShape(i), l.Axis)
		}
	}
	return nil
}

func (c *checker) slice(l *Layer) error {
	p, in := l.GetSlice(), l.InShape(0)
	if err := axis(l, p.GetAxis()); err != nil {
		return err
	}
	start, size, n := p.GetStart(), p.GetSize(), in[l.Axis]
	if start < 0 || start >= n || size < 1 || size > n-start {
		return broken("layer %q (slice): %d values from %d do not lie inside axis %d of its input %v", l.Name, size, start, l.Axis, in)
	}
	l.Shape = slices.Clone(in)
	l.Shape[l.Axis] = size
	if from := l.From[0]; from != nil {
		l.Indices = from.Indices
	}
	return nil
}

// axis finds the axis that a layer names, of its first input.
func axis(l *Layer, a int64) error {
	n := int64(len(l.InShape(0)))
	if a < -n || a >= n {
		return broken("layer %q (%s): there is no axis %d in its input %v", l.Name, l.Kind, a, l.InShape(0))
	}
	l.Axis = int((a + n) % n)
	return nil
}

func (c *checker) reshape(l *Layer) error {
	in, to := l.InShape(0), l.GetReshape().GetShape()
	if err := shape(to); err != nil {
		return broken("layer %q (reshape): its shape %v: %v", l.Name, to, err)
	}
	if Size(in) != Size(to) {
		return broken("layer %q (reshape): its shape %v has %d values, its input %v has %d", l.Name, to, Size(to), in, Size(in))
	}
	l.Shape = to
	return nil
}

func (c *checker) learned(l *Layer) error {
	p, err := c.param(l, "value", l.GetLearned().GetParameter(), nil)
	if err != nil {
		return err
	}
	l.Shape = p.Shape
	return nil
}
