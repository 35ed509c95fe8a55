#!/usr/bin/env python3
"""Find the coefficients of tokens.go and functions.go: near-minimax fits, by linear programming on Chebyshev's points.

Each fit has the least greatest relative error of what it stands for. Run with scipy:  python3 fit.py
"""
import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from scipy.optimize import linprog
from scipy.special import erfcx

def minimax(basis, target, weight):
    """The c with the least max |weight·(basis·c − target)|, and that maximum."""
    a, b = basis * weight[:, None], target * weight
    start = np.linalg.lstsq(a, b, rcond=None)[0]
    rest = b - a @ start
    size = np.abs(rest).max(); rest = rest / size  # what is left to improve, of size 1 for the solver
    one = np.ones((len(b), 1))
    r = linprog(np.r_[np.zeros(a.shape[1]), 1], A_ub=np.block([[a, -one], [-a, -one]]), b_ub=np.r_[rest, -rest],
        bounds=[(None, None)] * a.shape[1] + [(0, None)], method="highs-ds")
    return start + r.x[:-1] * size, r.x[-1] * size

def points(low, high, n=1601):
    return (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(n) + 0.5) / n)

def fit(low, high, degree, factor, target):
    """Polynomial P of the degree with the least relative error of factor(x)·P(x) + the rest, of target(x)."""
    x = points(low, high)
    basis = np.polynomial.chebyshev.chebvander((2 * x - low - high) / (high - low), degree) * factor(x)[:, None]
    rest, whole = target(x)
    c, error = minimax(basis, rest, 1 / whole)
    return Chebyshev(c, domain=[low, high]).convert(kind=Polynomial, domain=[-1, 1], window=[-1, 1]).coef, error

def show(name, c, error):
    print(f"{name}: greatest relative error {error:.1e}\n  " + ", ".join(f"{np.float32(v):.8g}" for v in c))

# exp r = 1 + r + r²·Q(r); rounding of n shifts the end of the interval a little
h = np.log(2) / 2 * 1.0001
show("expFit", *fit(-h, h, 4, lambda r: r * r, lambda r: (np.expm1(r) - r, np.exp(r))))
# Φ(−a)·exp(a²/2) = t·P(t), t = 1/(1 + scale·a), up to where exp(−a²/2) ends
scale = 0.27
def mills(t):
    g = 0.5 * erfcx((1 / t - 1) / scale / np.sqrt(2))
    return g, g
show("normalFit", *fit(1 / (1 + scale * 13.3), 1, 8, lambda t: t, mills))
