#!/usr/bin/env python3
"""Make goldens.json: windows and time warps by NumPy's and SciPy's interpolation, for the tests of series.slice and series.warp.

Needs Debian's python3-scipy 1.10. Run: python3 goldens.py > goldens.json
The input of every case is value(i) = sin(0.37 i + 0.1) in C order over [length, dimensions].
"""
import json
import numpy as np
from scipy.interpolate import make_interp_spline


def values(length, dimensions):
    return np.sin(.37 * np.arange(length * dimensions) + .1).reshape(length, dimensions)


def read(x, places):
    return [round(float(v), 7) for v in np.stack([np.interp(places, np.arange(len(x)), c) for c in x.T], -1).ravel()]


out = {"slice": [], "warp": []}
for length, dimensions, start, span in [(12, 1, 1.3, 8.25), (9, 3, 0, 7.2), (7, 2, 2.5, 3.5)]:
    out["slice"].append({"length": length, "dimensions": dimensions, "start": start, "span": span,
                         "out": read(values(length, dimensions), start + np.linspace(0, span, length))})
for length, dimensions, speeds in [(15, 1, [1, 2, .5, 1.4]), (24, 2, [.8, .8, 1.1, .7, 1.9, 1]), (6, 1, [3, .2])]:
    knots = np.linspace(0, length - 1, len(speeds))
    passed = make_interp_spline(knots, speeds, k=1).antiderivative()
    t = passed(np.arange(length)) / passed(length - 1) * (length - 1)
    out["warp"].append({"length": length, "dimensions": dimensions, "speeds": speeds, "out": read(values(length, dimensions), t)})
print(json.dumps(out))
