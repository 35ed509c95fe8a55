#!/usr/bin/env python3
"""Make what the tests read: a.npz, a scene with a catalog and variances, b.npz, one with centers and without the names of its bands, and
one.npz, with one source. Run in this folder: python3 make.py"""
import numpy as np

draw = np.random.default_rng(3)


def scene(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([100 * b + y + x / 100 for b in range(1, 4)]).astype(np.float32)  # what stands where


catalog = np.array([(6.4, 5.6, b"star"), (0, 0, b"star"), (11, 9, b"star"), (20, 3, b"off")], dtype=[("x", "<f8"), ("y", "<f8"), ("kind", "S4")])
variance = np.stack([np.full((10, 12), v) for v in (4, 9, 16)]).astype(np.float32)
filters = np.array(["g", "r", "i"])
np.savez_compressed("a.npz", images=scene(10, 12), variance=variance, filters=filters, catalog=catalog)
np.savez_compressed("one.npz", images=scene(10, 12), variance=variance, filters=filters, catalog=catalog[:1])
np.savez_compressed("b.npz", images=draw.normal(0, [[[1]], [[2]], [[3]]], (3, 40, 50)), centers=np.array([[20, 30], [5, 6]]))
