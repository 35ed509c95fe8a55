package engine

import (
	"github.com/asterism-ssl/asterism/core/key"
	"github.com/asterism-ssl/asterism/core/protocol"
)

// Initial draws a part of a parameter's initial values, those from first on, which must be even. The key is of
// (seed, "init", name), the name being the full one; elements 2i and 2i+1 are the first two draws at counter i, so that a
// weight depends on nothing but the seed, its name and its index.
func Initial(seed uint64, name string, init *protocol.Init, first int, values []float32) {
	var draw func(s *key.Source) float32
	switch is := init.GetIs().(type) {
	case *protocol.Init_Constant:
		for i := range values {
			values[i] = float32(is.Constant)
		}
		return
	case *protocol.Init_Normal:
		draw = func(s *key.Source) float32 { return float32(is.Normal * s.Normal()) }
	case *protocol.Init_Uniform:
		draw = func(s *key.Source) float32 { return float32(s.Between(-is.Uniform, is.Uniform)) }
	}
	k := key.New(seed, "init", name)
	for i := 0; i < len(values); i += 2 {
		s := k.At(0, uint64((first+i)/2))
		values[i] = draw(s)
		if i+1 < len(values) {
			values[i+1] = draw(s)
		}
	}
}
