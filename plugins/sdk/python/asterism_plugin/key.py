"""Keyed randomness: every draw is a pure function of what it is for.

A Source is a counter-based generator, Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3",
SC'11), whose key comes from (seed, purpose, path) and whose counter holds an epoch and a sample id. The bits of uniforms
are those of the Go SDK; normals agree to rounding.

>>> Key(7, "view", "query", "sky.rotate/0").at(3, sample("PGC0000212")).uniform()
0.6820145719461433
"""

import hashlib
import math

import numpy as np

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = 0xFFFFFFFF
_CHUNK = 1 << 13  # counters
_FEW = 40  # blocks that are drawn faster one by one


def _philox(counter, key):
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _LOW, (p0 >> 32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


def philox(counters: np.ndarray, key) -> np.ndarray:
    """The bijection Philox4x32-10 of many counters, uint32 [n, 4], under one key of two words."""
    counters = np.asarray(counters)
    out = np.empty((len(counters), 4), np.uint32)
    for first in range(0, len(counters), _CHUNK):  # so many stay in the processor's cache through the ten rounds
        c = np.array(counters[first : first + _CHUNK].T, np.uint64, order="C")
        k0, k1 = int(key[0]), int(key[1])
        for _ in range(10):
            p0, p1 = c[0] * np.uint64(_M0), c[2] * np.uint64(_M1)
            np.right_shift(p1, np.uint64(32), out=c[0])
            c[0] ^= c[1]
            c[0] ^= np.uint64(k0)
            np.bitwise_and(p1, np.uint64(_LOW), out=c[1])
            np.right_shift(p0, np.uint64(32), out=c[2])
            c[2] ^= c[3]
            c[2] ^= np.uint64(k1)
            np.bitwise_and(p0, np.uint64(_LOW), out=c[3])
            k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
        out[first : first + _CHUNK] = c.T
    return out


def _uniforms(words: np.ndarray) -> np.ndarray:
    """Pairs of words along the last axis as numbers in [0, 1)."""
    words = words.astype(np.uint64)
    return ((words[..., 0::2] | words[..., 1::2] << np.uint64(32)) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _normals(u: np.ndarray) -> np.ndarray:
    """Pairs of uniforms along the last axis as pairs of normals."""
    r, angle = np.sqrt(-2 * np.log(1 - u[..., 0::2])), 2 * np.pi * u[..., 1::2]
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=-1).reshape(u.shape)


def sample(name: str) -> int:
    """The sample id of an object: the first eight bytes, little-endian, of the SHA-256 of its name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


class Key:
    """A stream of randomness, named by a seed, a purpose and a path."""

    def __init__(self, seed: int, purpose: str, *path: str):
        h = hashlib.sha256(b"%d\0" % seed)
        for name in (purpose, *path):
            h.update(name.encode() + b"\0")
        digest = h.digest()
        self.words = int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")

    def at(self, epoch: int, sample: int) -> "Source":
        """The source at two counters, an epoch (32 bits count) and a sample id (64 bits)."""
        return Source(self.words, epoch, sample)

    def all(self, epoch: int, samples) -> "Sources":
        """The sources at one epoch and many sample ids, drawn together."""
        return Sources(self.words, epoch, samples)


class Source:
    """The draws at one counter, in order. It is not safe for several threads; a new one is cheap."""

    def __init__(self, words, epoch: int, sample: int):
        self._key = words
        self._counter = [0, epoch & _LOW, sample & _LOW, (sample >> 32) & _LOW]
        self._block = ()
        self._spare = None

    def uint32(self) -> int:
        """32 random bits."""
        if not self._block:
            self._block = _philox(self._counter, self._key)
            self._counter[0] = (self._counter[0] + 1) & _LOW
        first, self._block = self._block[0], self._block[1:]
        return first

    def uint32s(self, n: int) -> np.ndarray:
        """n times uint32()."""
        head = np.array(self._block[:n], np.uint32)
        self._block = self._block[n:]
        wanted = n - len(head)
        if wanted == 0:
            return head
        blocks = (wanted + 3) // 4
        if blocks <= _FEW:
            drawn = []
            for _ in range(blocks):
                drawn += _philox(self._counter, self._key)
                self._counter[0] = (self._counter[0] + 1) & _LOW
            drawn = np.array(drawn, np.uint32)
        else:
            counters = np.empty((blocks, 4), np.uint64)
            counters[:, 0] = (np.uint64(self._counter[0]) + np.arange(blocks, dtype=np.uint64)) & np.uint64(_LOW)
            counters[:, 1:] = self._counter[1:]
            self._counter[0] = (self._counter[0] + blocks) & _LOW
            drawn = philox(counters, self._key).reshape(-1)
        self._block = tuple(int(v) for v in drawn[wanted:])
        return np.concatenate([head, drawn[:wanted]])

    def uint64(self) -> int:
        """64 random bits: two draws, the low word first."""
        low = self.uint32()
        return low | self.uint32() << 32

    def uniform(self) -> float:
        """A number in [0, 1): the upper 53 bits of uint64() times 2^-53."""
        return (self.uint64() >> 11) * 2.0**-53

    def uniforms(self, n: int) -> np.ndarray:
        """n times uniform(), float64 [n]."""
        return _uniforms(self.uint32s(2 * n))

    def between(self, low: float, high: float) -> float:
        """A uniform number in [low, high)."""
        return low + (high - low) * self.uniform()

    def integer(self, n: int) -> int:
        """A uniform integer in [0, n), 0 < n < 2^32, by Lemire's unbiased multiplication."""
        if not 0 < n <= _LOW:
            raise ValueError("integer wants 0 < n < 2^32")
        product = self.uint32() * n
        if product & _LOW < n:
            reject = (1 << 32) % n
            while product & _LOW < reject:
                product = self.uint32() * n
        return product >> 32

    def normal(self) -> float:
        """A standard normal number by Box and Muller's transform; two draws serve two numbers."""
        if self._spare is not None:
            spare, self._spare = self._spare, None
            return spare
        u, v = 1 - self.uniform(), self.uniform()
        r = math.sqrt(-2 * math.log(u))
        self._spare = r * math.sin(2 * math.pi * v)
        return r * math.cos(2 * math.pi * v)

    def normals(self, n: int) -> np.ndarray:
        """n times normal(), float64 [n]."""
        first = [] if self._spare is None or n == 0 else [self.normal()]
        wanted = n - len(first)
        drawn = _normals(self.uniforms(2 * ((wanted + 1) // 2)))
        if wanted % 2:
            self._spare = float(drawn[-1])
        return np.concatenate([np.array(first), drawn[:wanted]])

    def shuffle(self, n: int) -> np.ndarray:
        """A permutation of 0 … n-1 by Fisher and Yates."""
        p = np.arange(n)
        for i in range(n - 1, 0, -1):
            j = self.integer(i + 1)
            p[i], p[j] = p[j], p[i]
        return p


class Sources:
    """The sources of several samples at one epoch, drawn together: row i has what Source i draws, many times faster than
    one by one. A second call goes on where the first one ended."""

    def __init__(self, words, epoch: int, samples):
        self._key, self._epoch, self._samples = words, epoch & _LOW, np.array(samples, np.uint64)
        self._drawn = 0  # words
        self._spare = None

    def uint32s(self, n: int) -> np.ndarray:
        """n times uint32() for each sample, [samples, n]."""
        first, last = self._drawn // 4, (self._drawn + n + 3) // 4
        counters = np.empty((len(self._samples), last - first, 4), np.uint64)
        counters[..., 0] = np.arange(first, last, dtype=np.uint64) & np.uint64(_LOW)
        counters[..., 1] = self._epoch
        counters[..., 2] = (self._samples & np.uint64(_LOW))[:, None]
        counters[..., 3] = (self._samples >> np.uint64(32))[:, None]
        drawn = philox(counters.reshape(-1, 4), self._key).reshape(len(self._samples), 4 * (last - first))
        start = self._drawn - 4 * first
        self._drawn += n
        return drawn[:, start : start + n]

    def uniforms(self, n: int) -> np.ndarray:
        """n times uniform() for each sample, float64 [samples, n]."""
        return _uniforms(self.uint32s(2 * n))

    def normals(self, n: int) -> np.ndarray:
        """n times normal() for each sample, float64 [samples, n]."""
        first = np.empty((len(self._samples), 0))
        if self._spare is not None and n > 0:
            first, self._spare = self._spare, None
        wanted = n - first.shape[1]
        drawn = _normals(self.uniforms(2 * ((wanted + 1) // 2)))
        if wanted % 2:
            self._spare = drawn[:, -1:]
        return np.concatenate([first, drawn[:, :wanted]], axis=1)
