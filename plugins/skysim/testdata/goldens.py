#!/usr/bin/env python3
"""Make goldens.json for the tests of skysim: distances by astropy, Sérsic light by numerical integration with SciPy.

Needs Debian's python3-astropy 5.2 and python3-scipy 1.10. Run: python3 goldens.py > goldens.json
"""
import json
import numpy as np
from astropy.cosmology import FlatLambdaCDM
from scipy.integrate import dblquad, quad
from scipy.optimize import brentq
from scipy.special import gammaincinv

cosmology = FlatLambdaCDM(H0=70, Om0=.3, Tcmb0=0)
out = {"cosmology": [], "sersic": [], "pixel": []}
for z in (.01, .1, .25, .4, .6):
    out["cosmology"].append({"z": z, "kpc": cosmology.kpc_proper_per_arcmin(z).value / 60, "modulus": cosmology.distmod(z).value})
for n in (1, 2.5, 4, 5.5):
    b = gammaincinv(2 * n, .5)
    profile = lambda r: 2 * np.pi * r * np.exp(-b * r ** (1 / n))
    total = quad(profile, 0, 1)[0] + quad(profile, 1, 50)[0] + quad(profile, 50, np.inf)[0]
    for x in (.3, 1, 3):
        out["sersic"].append({"n": n, "b": b, "x": x, "within": quad(profile, 0, x)[0] / total})
    # The light of a pixel for r_e = 5 pixels, q = 0.7 along x, total light 1: one at the centre, one at (6, 2).
    norm = total * 25 * .7
    f = lambda y, x: np.exp(-b * (np.hypot(x, y / .7) / 5) ** (1 / n)) / norm
    centre = 4 * dblquad(f, 0, .5, 0, .5, epsabs=1e-8)[0]
    out["pixel"].append({"n": n, "centre": centre, "aside": dblquad(f, 5.5, 6.5, 1.5, 2.5, epsabs=1e-9)[0]})
print(json.dumps(out))
