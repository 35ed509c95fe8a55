"""Golden statistics by numpy: python3 statistics.py > statistics.json

The pixels come from a linear congruential generator that the test runs too.
"""
import json
import numpy as np

LEVELS = [1, 5, 25, 50, 75, 95, 99]


def draws(n, x=12345):
    out = np.empty(n, np.uint32)
    for i in range(n):
        x = (1664525 * x + 1013904223) % 2**32
        out[i] = x
    return out


def measure(v):
    v = v.astype(np.float64)
    med = np.median(v)
    return dict(mean=v.mean(), deviation=v.std(), median=med, mad=np.median(np.abs(v - med)),
                percentiles=list(np.percentile(v, LEVELS)))


rows, pixels, bands = 50, 35, 3
raw = draws(rows * pixels * bands).reshape(rows, pixels, bands)
u = (raw >> 8).astype(np.float64) / 2**24
f32 = np.empty_like(u)
f32[..., 0] = u[..., 0] * 4 - 1          # flat
f32[..., 1] = u[..., 1] ** 3 * 1e4       # a long tail; some zeros
f32[..., 1][u[..., 1] < 0.1] = 0
f32[..., 2] = (u[..., 2] - 0.5) * 1e-9   # small
u8 = ((raw >> 24) >> np.array([0, 3, 7], np.uint32)).astype(np.uint8)  # full, few values, two values
some = slice(3, 50, 4)                   # the rows that are measured
print(json.dumps(dict(
    F32=[measure(f32[some, :, b].astype(np.float32)) for b in range(bands)],
    U8=[measure(u8[some, :, b] * 0.25) for b in range(bands)]), indent=1))
