"""What networks draw, dropout and token orders: the bits that the native engine draws.

Draws are Philox4x32-10 under the key of (seed, purpose, layer, pass), at the counter (step, place in the batch).
"""

import math

import numpy as np
import torch
from asterism_plugin import key

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = 0xFFFFFFFF
_AT_ONCE = 1 << 20  # counters, of 32 bytes and as many again for what is between


def _philox(c0, c1, c2, c3, words):
    """Philox4x32-10 of counters, int64 arrays that broadcast, on their device. Products wrap, and their bits are right."""
    k0, k1 = words
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> 32 & _LOW) ^ c1 ^ k0, p1 & _LOW, (p0 >> 32 & _LOW) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return torch.stack([c0, c1, c2, c3], dim=-1)


def kept(k: key.Key, rate: float, step: int, samples: int, values: int, device) -> torch.Tensor:
    """What dropout keeps, bool [samples, values]: value i of a sample where draw i is at least rate · 2³²."""
    threshold = min(math.floor(rate * 2**32 + 0.5), _LOW)
    blocks = torch.arange(-(-values // 4), device=device)
    keep = torch.empty(samples, values, dtype=torch.bool, device=device)
    several = max(1, _AT_ONCE // len(blocks))
    for first in range(0, samples, several):
        places = torch.arange(first, min(first + several, samples), device=device)[:, None]
        nothing = torch.zeros_like(places)
        words = _philox(blocks[None, :], nothing + (step & _LOW), places, nothing, k.words)
        torch.ge(words.reshape(len(places), -1)[:, :values], threshold, out=keep[first : first + several])
    return keep


def orders(k: key.Key, step: int, samples: int, tokens: int) -> np.ndarray:
    """A permutation of 0 … tokens-1 for each sample, int64 [samples, tokens]: Fisher and Yates, with all samples at once."""
    order = np.tile(np.arange(tokens), (samples, 1))
    if tokens < 2:
        return order
    blocks = -(-(tokens - 1) // 4)
    counters = np.empty((samples, blocks, 4), np.uint64)
    counters[..., 0], counters[..., 1], counters[..., 2], counters[..., 3] = np.arange(blocks), step & _LOW, np.arange(samples)[:, None], 0
    drawn = key.philox(counters.reshape(-1, 4), k.words).reshape(samples, -1).astype(np.uint64)
    rows, again = np.arange(samples), np.zeros(samples, bool)
    for draw, i in enumerate(range(tokens - 1, 0, -1)):
        product = drawn[:, draw] * np.uint64(i + 1)
        again |= product & np.uint64(_LOW) < np.uint64(2**32 % (i + 1))
        j = (product >> np.uint64(32)).astype(np.int64)
        order[rows, i], order[rows, j] = order[rows, j], order[rows, i]
    for sample in np.flatnonzero(again):  # one in millions draws a number twice
        order[sample] = k.at(step, int(sample)).shuffle(tokens)
    return order
