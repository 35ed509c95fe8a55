#!/usr/bin/env python3
"""Make goldens.json: alignment, uniformity, effective rank, spread and principal axes by NumPy and SciPy, for the tests of core/health.

Needs Debian's python3-numpy and python3-scipy. Run: python3 goldens.py > goldens.json
"""
import json
import numpy as np
from scipy.linalg import svdvals
from scipy.spatial.distance import pdist

cases = []
for n, width, seed in [(7, 3, 1), (4, 9, 2), (20, 5, 3), (2, 2, 4)]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width)).round(3)
    y = (x + .2 * rng.normal(size=(n, width))).round(3)
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    s = svdvals(x - x.mean(0))
    s = s[s > 1e-7 * np.linalg.norm(x)]
    p = s / s.sum()
    u, d, _ = np.linalg.svd(a - a.mean(0), full_matrices=False)
    at = u[:, :2] * d[:2]
    at *= np.where((at ** 3).sum(0) < 0, -1, 1)
    cases.append({
        "coordinates": at.ravel().tolist() if n > 2 else [], "shares": (d[:2] ** 2 / (d ** 2).sum()).tolist() if n > 2 else [],
        "width": width, "x": x.ravel().tolist(), "y": y.ravel().tolist(),
        "alignment": ((a - b) ** 2).sum(1).mean(),
        "uniformity": np.log(np.exp(-2 * pdist(a, "sqeuclidean")).mean()),
        "rank": np.exp(-(p * np.log(p)).sum()),
        "spread": np.sqrt(width) * a.std(0).mean(),
    })
print(json.dumps(cases))
