"""Softmax regression by scipy in float64, for regress_test.go: python3 golden.py > golden.json

Rows come from a small formula that the Go test repeats, so only the answers are stored.
"""
import json
import numpy as np
from scipy.optimize import minimize


def rows(n, d):
    i, j = np.meshgrid(np.arange(n), np.arange(d), indexing="ij")
    x = (np.sin(1.7 * i + 2.3 * j + 0.11 * i * j) + 0.2 * j + 0.05 * (i % 7)).astype(np.float32)
    x[:, 2] = 3  # constant
    return x


def fit(x, y, k, weight, l2):
    x = x.astype(np.float64)
    weight = weight / weight.sum()
    mean = weight @ x
    sd = np.sqrt(weight @ (x - mean) ** 2)
    sd[sd < 1e-6] = np.inf
    s = (x - mean) / sd
    n, d = s.shape

    def f(v):
        w, b = v[: k * d].reshape(k, d), v[k * d:]
        z = s @ w.T + b
        z -= z.max(1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(1, keepdims=True)
        value = -(weight * np.log(p[np.arange(n), y])).sum() + l2 / 2 * (w ** 2).sum()
        p[np.arange(n), y] -= 1
        p *= weight[:, None]
        return value, np.concatenate([(p.T @ s + l2 * w).ravel(), p.sum(0)])

    r = minimize(f, np.zeros(k * d + k), jac=True, method="L-BFGS-B", options=dict(maxiter=5000, maxfun=20000, ftol=1e-15, gtol=1e-10))
    w, b = r.x[: k * d].reshape(k, d), r.x[k * d:]
    z = s @ w.T + b
    z -= z.max(1, keepdims=True)
    p = np.exp(z)
    return r.fun, p / p.sum(1, keepdims=True)


cases = []
for n, d, k, l2, weighted in ((40, 6, 3, 0.02, False), (60, 12, 4, 0.1, True), (25, 40, 2, 0.02, False), (90, 5, 9, 0.001, True)):
    x = rows(n, d)
    y = (np.floor(1000 * np.abs(x[:, 0] + 0.5 * x[:, 1]).astype(np.float64)).astype(int) + np.arange(n) // 5) % k
    weight = 1.0 + (np.arange(n) % 3 if weighted else np.zeros(n))
    loss, p = fit(x, y, k, weight, l2)
    cases.append(dict(rows=n, width=d, classes=k, l2=l2, weighted=weighted, y=y.tolist(), loss=loss, p=np.round(p, 8).ravel().tolist()))
print(json.dumps(cases))
