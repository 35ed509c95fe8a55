package model

import (
	"fmt"
	"math"
	"slices"
)

// same is a layer without fields whose output has its input's shape.
func (c *checker) same(l *Layer) error {
	l.Shape = l.InShape(0)
	return nil
}

func (c *checker) activation(l *Layer) error {
	slope := l.GetActivation().GetSlope()
	switch {
	case l.Kind == LeakyRelu && !(slope >= 0 && slope <= math.MaxFloat32):
		return broken("layer %q (leaky_relu): slope %v must be at least 0, and finite", l.Name, slope)
	case l.Kind != LeakyRelu && slope != 0:
		return broken("layer %q (%s) has the slope %v, which is of leaky_relu alone", l.Name, l.Kind, slope)
	}
	return c.same(l)
}

func (c *checker) dropout(l *Layer) error {
	if rate := l.GetDropout().GetRate(); !(rate >= 0 && rate < 1) {
		return broken("layer %q (dropout): rate %v must be at least 0 and less than 1", l.Name, rate)
	}
	return c.same(l)
}

// combine is a sum or product, whose second input may stand for all of the first's leading axes.
func (c *checker) combine(l *Layer) error {
	a, b := l.InShape(0), l.InShape(1)
	if len(b) > len(a) || !slices.Equal(a[len(a)-len(b):], b) {
		return broken("layer %q (%s): its inputs have the shapes %v and %v; the second must be as the first, or as the first's last axes", l.Name, l.Kind, a, b)
	}
	if len(b) < len(a) {
		if err := c.opset2(l, fmt.Sprintf("a second input of shape %v on a first of %v", b, a)); err != nil {
			return err
		}
	}
	return c.same(l)
}
