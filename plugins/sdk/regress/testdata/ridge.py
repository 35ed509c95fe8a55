"""Ridge regression by scikit-learn in float64, for ridge_test.go: python3 ridge.py > ridge.json

Rows come from the formula of golden.py, which the Go test repeats, targets from another. The penalty is found by leaving
each row out in turn and fitting the others again; features are standardised over all rows before that.
"""
import json
import numpy as np
from sklearn.linear_model import Ridge


def rows(n, d):
    i, j = np.meshgrid(np.arange(n), np.arange(d), indexing="ij")
    x = (np.sin(1.7 * i + 2.3 * j + 0.11 * i * j) + 0.2 * j + 0.05 * (i % 7)).astype(np.float32)
    x[:, 2] = 3  # constant
    return x


def target(x, unit):
    i = np.arange(len(x))
    return unit * (5 + 2 * x[:, 0].astype(float) - x[:, 1].astype(float) + np.cos(3.1 * i))


def left_out(s, y, weight, penalty):
    total = 0
    for i in range(len(y)):
        others = np.arange(len(y)) != i
        model = Ridge(alpha=penalty, solver="cholesky").fit(s[others], y[others], sample_weight=weight[others])
        total += weight[i] * (y[i] - model.predict(s[i:i + 1])[0]) ** 2
    return total


cases = []
for n, d, unit, weighted in ((40, 6, 1, False), (60, 12, 1e-11, True), (25, 40, 1, False), (30, 50, 1e6, True), (200, 5, 1, False)):
    x = rows(n, d)
    y = target(x, unit)
    weight = 1.0 + (np.arange(n) % 3 if weighted else np.zeros(n))
    weight /= weight.mean()
    s = x.astype(np.float64)
    mean = weight @ s / n
    deviation = np.sqrt(weight @ (s - mean) ** 2 / n)
    deviation[deviation < 1e-6] = np.inf
    s = (s - mean) / deviation
    penalties = [n * 10 ** (k / 2 - 6) for k in range(21)]
    best = int(np.argmin([left_out(s, y, weight, p) for p in penalties]))
    fits = []
    for p in (penalties[best], 0.3 * n):
        fits.append(dict(penalty=p, predicted=(Ridge(alpha=p, solver="cholesky").fit(s, y, sample_weight=weight).predict(s) / unit).tolist()))
    cases.append(dict(rows=n, width=d, unit=unit, weighted=weighted, best=best, fits=fits))
print(json.dumps(cases))
