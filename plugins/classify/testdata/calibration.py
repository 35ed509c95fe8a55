"""Reliability by scikit-learn and intervals by SciPy, for calibration_test.go: python3 calibration.py > calibration.json

A third of the confidences lie on edges of the bins; in some cases bins are empty.
"""
import json
import numpy as np
from scipy.stats import binomtest, norm
from sklearn.calibration import calibration_curve

random = np.random.default_rng(5)
cases = []
for n, least in ((400, 0.0), (60, 0.35), (9, 0.8), (1, 0.5)):
    confidence = np.round(random.uniform(least, 1, n), 4)
    confidence[::3] = np.round(confidence[::3], 1)
    right = random.uniform(size=n) < confidence ** 1.5
    fraction, mean = calibration_curve(right, confidence, n_bins=10, strategy="uniform")
    # Bins anew, for what scikit-learn does not give.
    bin = np.searchsorted(np.linspace(0, 1, 11)[1:-1], confidence)
    error, low, high = 0, [], []
    for k in np.unique(bin):
        of = bin == k
        error += of.sum() / n * abs(right[of].mean() - confidence[of].mean())
        interval = binomtest(int(right[of].sum()), int(of.sum())).proportion_ci(2 * norm.cdf(1) - 1, method="wilson")
        low.append(interval.low)
        high.append(interval.high)
    cases.append(dict(confidence=confidence.tolist(), right=right.tolist(), mean=mean.tolist(), fraction=fraction.tolist(), error=error, low=low, high=high))
print(json.dumps(cases))
