package model

import "slices"

// checkIndices keeps indices and values apart: an engine trusts that indices point at tokens, and may hold them as
// integers. Only token_order makes indices, a slice of them is indices, and only gather_tokens and scatter_tokens read them.
func checkIndices(l *Layer) error {
	for i, from := range l.From {
		given := from != nil && from.Indices > 0
		wanted := i == 1 && (l.Kind == GatherTokens || l.Kind == ScatterTokens)
		switch {
		case wanted && !given:
			return broken("layer %q (%s): its indices are %q; they must come from a token_order, or a slice of one", l.Name, l.Kind, l.Inputs[i])
		case given && !wanted && l.Kind != Slice:
			return broken("layer %q (%s) reads the indices %q as values; only gather_tokens, scatter_tokens and slice take indices", l.Name, l.Kind, l.Inputs[i])
		}
	}
	return nil
}

func (c *checker) tokenOrder(l *Layer) error {
	in, err := tokens(l)
	if err != nil {
		return err
	}
	l.Shape, l.Indices = in[:1], in[0]
	return nil
}

func (c *checker) gatherTokens(l *Layer) error {
	in, err := tokens(l)
	if err != nil {
		return err
	}
	if order := l.From[1].Indices; order > in[0] {
		return broken("layer %q (gather_tokens): its indices are of %d tokens, it has %d", l.Name, order, in[0])
	}
	l.Shape = []int64{l.From[1].Shape[0], in[1]}
	return nil
}

func (c *checker) scatterTokens(l *Layer) error {
	in, err := tokens(l)
	if err != nil {
		return err
	}
	n, indices, filling := l.GetScatter().GetTokens(), l.From[1], l.InShape(2)
	switch {
	case indices.Shape[0] != in[0]:
		return broken("layer %q (scatter_tokens): it has %d tokens and %d indices, they must be as many", l.Name, in[0], indices.Shape[0])
	case n < in[0]:
		return broken("layer %q (scatter_tokens): its %d tokens do not fit among %d", l.Name, in[0], n)
	case indices.Indices > n:
		return broken("layer %q (scatter_tokens): its indices are of %d tokens, it gives %d", l.Name, indices.Indices, n)
	case !slices.Equal(filling, in[1:]):
		return broken("layer %q (scatter_tokens): its filling has the shape %v, it must be %v", l.Name, filling, in[1:])
	}
	l.Shape = []int64{n, in[1]}
	return nil
}

// attention is between the tokens of one input, which holds query, key and value side by side, or of three.
func (c *checker) attention(l *Layer) error {
	query, err := tokens(l)
	if err != nil {
		return err
	}
	n, m, channels := query[0], query[0], query[1]
	if len(l.From) == 1 {
		if channels%3 != 0 {
			return broken("layer %q (attention): the %d channels of its input cannot be query, key and value side by side", l.Name, channels)
		}
		channels /= 3
	} else {
		key, value := l.InShape(1), l.InShape(2)
		if len(key) != 2 || key[1] != channels || !slices.Equal(key, value) {
			return broken("layer %q (attention): query %v, key %v and value %v must have the same channels, and key and value the same tokens", l.Name, query, key, value)
		}
		m = key[0]
	}
	if heads := l.GetAttention().GetHeads(); heads < 1 || channels%heads != 0 {
		return broken("layer %q (attention): its %d heads do not divide its %d channels", l.Name, heads, channels)
	}
	l.Shape = []int64{n, channels}
	return c.cost(l, 2, n, m, channels) // query with key, weights with value
}

// tokens is the shape of the first input, which must be tokens.
func tokens(l *Layer) ([]int64, error) {
	in := l.InShape(0)
	if len(in) != 2 {
		return nil, broken("layer %q (%s) reads the shape %v; it takes tokens, [tokens, channels]", l.Name, l.Kind, in)
	}
	return in, nil
}
