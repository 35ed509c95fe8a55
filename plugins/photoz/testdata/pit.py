"""PIT of redshifts under probabilities over bins and their Kolmogorov statistic, by NumPy and SciPy, for pit_test.go:
python3 pit.py > pit.json
"""
import json
import numpy as np
from scipy.stats import kstest, rv_histogram

random = np.random.default_rng(7)
cases = []
for n, bins, end in ((300, 12, 0.4), (5, 3, 1.5), (1, 2, 0.4)):
    edges = np.linspace(0, end, bins + 1)
    probability = random.dirichlet(np.ones(bins), n).astype(np.float32)
    z = random.uniform(0, end, n)
    z[3::10] += end  # beyond the last bin
    z[4::10] = -z[4::10]
    z[5::10] = edges[1]
    pit = [rv_histogram((p.astype(float), edges), density=False).cdf(v) for p, v in zip(probability, z)]
    curve = (np.array(pit)[:, None] <= np.arange(101) / 100).mean(0)
    cases.append(dict(bins=bins, end=end, probability=probability.astype(float).ravel().tolist(), z=z.tolist(), curve=curve.tolist(), distance=float(kstest(pit, "uniform").statistic)))
print(json.dumps(cases))
