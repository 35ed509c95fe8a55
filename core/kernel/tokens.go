package kernel

import "unsafe"

// tokenLoops are the loops of an instruction set that transformers add: functions of each value, reductions along rows,
// draws. portableTokenLoops says what each computes.
type tokenLoops struct {
	gelu, geluGradient, silu, siluGradient, sigmoid, sigmoidGradient func(*rowArgs)
	tanh, tanhGradient, leaky, leakyGradient                         func(*rowArgs)
	layerNorm, layerNormGradient                                     func(*rowArgs)
	softmaxRows, softmaxGradient, attentionGradient                  func(*rowArgs)
	drop                                                             func(*rowArgs)
}

// vectorTokens are the loops of the instruction sets that have their own.
var vectorTokens = map[string]*tokenLoops{}

// tokens gives the loops of an instruction set.
func (s *set) tokens() *tokenLoops {
	if l := vectorTokens[s.name]; l != nil {
		return l
	}
	return &portableTokenLoops
}

var portableTokenLoops = tokenLoops{
	gelu:              eachValue(func(x float32) float32 { return x * normal(x) }),
	geluGradient:      eachPair(func(d, x float32) float32 { return d * (normal(x) + x*density(x)) }),
	silu:              eachValue(func(x float32) float32 { return x * logistic(x) }),
	siluGradient:      eachPair(func(d, x float32) float32 { return d * (logistic(x) * (1 + x*logistic(-x))) }),
	sigmoid:           eachValue(logistic),
	sigmoidGradient:   eachPair(func(d, y float32) float32 { return d * (y - y*y) }),
	tanh:              eachValue(tanh),
	tanhGradient:      eachPair(func(d, y float32) float32 { return d - d*y*y }),
	leaky:             leakyPortable,
	leakyGradient:     leakyGradientPortable,
	layerNorm:         layerNormPortable,
	layerNormGradient: layerNormGradientPortable,
	softmaxRows:       softmaxRowsPortable,
	softmaxGradient:   softmaxGradientPortable,
	attentionGradient: attentionGradientPortable,
	drop:              dropPortable,
}

// statLoop is loop where one stream holds one or two numbers for each row, and not its columns.
func statLoop(stream int, f func(a *rowArgs, s *[5][]float32, p *[4][]float32, stat unsafe.Pointer)) func(*rowArgs) {
	return func(a *rowArgs) {
		n := int(a.whole)/4 + int(a.tail)
		s, p := &a.rowStreams, &a.rowParams
		for i, from := range a.params {
			if from != nil {
				p[i] = unsafe.Slice((*float32)(from), n)
			}
		}
		for r := range int(a.rows) {
			for i, from := range a.streams {
				if from != nil && i != stream {
					s[i] = unsafe.Slice((*float32)(unsafe.Add(from, r*int(a.strides[i]))), n)
				}
			}
			f(a, s, p, unsafe.Add(a.streams[stream], r*int(a.strides[stream])))
		}
	}
}
