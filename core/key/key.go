// Package key gives keyed randomness: every draw is a pure function of what it is for.
//
// A Source is a counter-based generator, Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
// 3", SC'11), whose key comes from (seed, purpose, path) and whose counter holds an epoch and a sample id. Nothing
// depends on batches, threads, processes or the order of calls:
//
//	s := key.New(7, "view", "query", "sky.rotate/0").At(epoch, sample)
//	angle := 2 * math.Pi * s.Uniform()
//
// The bits of uniforms are the contract (in Go and Python alike); normals agree to rounding.
package key

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strconv"
)

// Philox is the bijection Philox4x32-10: ten rounds over a 128-bit counter with a 64-bit key.
func Philox(counter [4]uint32, key [2]uint32) [4]uint32 {
	const (
		m0, m1 = 0xD2511F53, 0xCD9E8D57
		w0, w1 = 0x9E3779B9, 0xBB67AE85 // golden ratio, √3−1
	)
	for round := 0; ; round++ {
		p0, p1 := uint64(m0)*uint64(counter[0]), uint64(m1)*uint64(counter[2])
		counter = [4]uint32{
			uint32(p1>>32) ^ counter[1] ^ key[0], uint32(p1),
			uint32(p0>>32) ^ counter[3] ^ key[1], uint32(p0),
		}
		if round == 9 {
			return counter
		}
		key[0] += w0
		key[1] += w1
	}
}

// Key names a stream of randomness: a seed, a purpose and a path.
type Key [2]uint32

// New makes the key of (seed, purpose, path…): the first eight bytes, little-endian, of the SHA-256 of the decimal seed
// and the names, each followed by a zero byte.
func New(seed uint64, purpose string, path ...string) Key {
	h := sha256.New()
	h.Write(append(strconv.AppendUint(nil, seed, 10), 0))
	h.Write(append([]byte(purpose), 0))
	for _, p := range path {
		h.Write(append([]byte(p), 0))
	}
	sum := h.Sum(nil)
	return Key{binary.LittleEndian.Uint32(sum), binary.LittleEndian.Uint32(sum[4:])}
}

// Sample gives the sample id of an object: the first eight bytes, little-endian, of the SHA-256 of its name.
func Sample(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.LittleEndian.Uint64(sum[:])
}

// At gives the source at (epoch, sample).
func (k Key) At(epoch, sample uint64) *Source {
	return &Source{key: k, counter: [4]uint32{0, uint32(epoch), uint32(sample), uint32(sample >> 32)}, left: 0}
}

// Source gives the draws at one counter, in order. It is not safe for concurrent use; a new one is cheap.
type Source struct {
	key     Key
	counter [4]uint32 // the first word counts blocks of four draws
	block   [4]uint32
	left    int
	spare   float64
	spared  bool
}

// Uint32 gives 32 random bits.
func (s *Source) Uint32() uint32 {
	if s.left == 0 {
		s.block = Philox(s.counter, s.key)
		s.counter[0]++
		s.left = 4
	}
	s.left--
	return s.block[3-s.left]
}

// Uint64 gives 64 random bits: two draws, low word first.
func (s *Source) Uint64() uint64 {
	low := uint64(s.Uint32())
	return low | uint64(s.Uint32())<<32
}

// Uniform gives a number in [0, 1): the upper 53 bits of Uint64 times 2⁻⁵³.
func (s *Source) Uniform() float64 { return float64(s.Uint64()>>11) * 0x1p-53 }

// Between gives a uniform number in [low, high).
func (s *Source) Between(low, high float64) float64 { return low + (high-low)*s.Uniform() }

// Intn gives a uniform integer in [0, n) by Lemire's unbiased multiplication; n must be positive.
func (s *Source) Intn(n int) int {
	bound := uint64(n)
	if n <= 0 || bound > 1<<32-1 {
		panic("key: Intn wants 0 < n < 2³²")
	}
	product := uint64(s.Uint32()) * bound
	if low := uint64(uint32(product)); low < bound {
		for reject := (1 << 32) % bound; low < reject; low = uint64(uint32(product)) {
			product = uint64(s.Uint32()) * bound
		}
	}
	return int(product >> 32)
}

// Normal gives a standard normal number by Box and Muller's transform; two draws serve two numbers.
func (s *Source) Normal() float64 {
	if s.spared {
		s.spared = false
		return s.spare
	}
	u, v := 1-s.Uniform(), s.Uniform() // u in (0, 1]
	r := math.Sqrt(-2 * math.Log(u))
	sin, cos := math.Sincos(2 * math.Pi * v)
	s.spare, s.spared = r*sin, true
	return r * cos
}

// Shuffle permutes 0…n−1 by Fisher and Yates.
func (s *Source) Shuffle(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := s.Intn(i + 1)
		p[i], p[j] = p[j], p[i]
	}
	return p
}
