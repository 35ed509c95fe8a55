package model

func (c *checker) batchNorm(l *Layer) error {
	p, in := l.GetBatchNorm(), l.InShape(0)
	channels := in[len(in)-1:]
	for _, q := range []struct {
		role, name string
		buffer     bool
	}{{"weight", p.GetWeight(), false}, {"bias", p.GetBias(), false}, {"running mean", p.GetRunningMean(), true}, {"running variance", p.GetRunningVar(), true}} {
		if _, err := c.find(l, q.role, q.name, q.buffer, channels); err != nil {
			return err
		}
	}
	if err := positive(l, p.GetEpsilon()); err != nil {
		return err
	}
	if !(p.GetMomentum() >= 0 && p.GetMomentum() <= 1) {
		return broken("layer %q (batch_norm): momentum %v must be between 0 and 1", l.Name, p.GetMomentum())
	}
	l.Shape = in
	return nil
}

func (c *checker) layerNorm(l *Layer) error {
	p := l.GetLayerNorm()
	return c.norm(l, p.GetWeight(), p.GetBias(), p.GetEpsilon())
}

func (c *checker) groupNorm(l *Layer) error {
	p, in := l.GetGroupNorm(), l.InShape(0)
	if channels := in[len(in)-1]; p.GetGroups() < 1 || channels%p.GetGroups() != 0 {
		return broken("layer %q (group_norm): its %d groups do not divide its %d channels", l.Name, p.GetGroups(), channels)
	}
	return c.norm(l, p.GetWeight(), p.GetBias(), p.GetEpsilon())
}

// norm is a normalisation within a sample, whose scale and shift it may leave out.
func (c *checker) norm(l *Layer, weight, bias string, epsilon float64) error {
	in := l.InShape(0)
	channels := in[len(in)-1]
	if err := c.vector(l, "weight", weight, channels); err != nil {
		return err
	}
	if err := c.vector(l, "bias", bias, channels); err != nil {
		return err
	}
	l.Shape = in
	return positive(l, epsilon)
}

func (c *checker) l2Normalise(l *Layer) error {
	l.Shape = l.InShape(0)
	return positive(l, l.GetL2Normalise().GetEpsilon())
}

// positive checks an epsilon, which engines hold in float32.
func positive(l *Layer, epsilon float64) error {
	if e := float32(epsilon); !(e > 0) || e-e != 0 {
		return broken("layer %q (%s): epsilon %v must be positive, in float32 too", l.Name, l.Kind, epsilon)
	}
	return nil
}
