#!/usr/bin/env python3
"""Make goldens.json: rotations and zooms by scikit-image and Gaussian smoothing by SciPy, for the tests of sky.rotate, sky.zoom and sky.psf.

Needs Debian's python3-skimage 0.19 and python3-scipy 1.10. Run: python3 goldens.py > goldens.json
The input of every case is pixel(i) = sin(0.37 i + 0.1) in C order over its shape.
"""
import json
import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.transform import AffineTransform, rotate, warp

def pixels(shape):
    return np.sin(.37 * np.arange(np.prod(shape)) + .1).astype(np.float32).reshape(shape)

def flat(a):
    return [round(float(v), 7) for v in np.asarray(a, np.float64).ravel()]

out = {"rotate": [], "smooth": []}
for shape, angle, fill in [((7, 9, 2), 33, 0), ((8, 8, 3), -121.5, 0), ((6, 6, 5), 200, 2.5), ((5, 5, 1), 90, 0)]:
    x = pixels(shape).astype(np.float64)
    y = rotate(x, angle, order=1, mode="constant", cval=fill, clip=False, preserve_range=True)
    out["rotate"].append({"shape": shape, "degrees": angle, "fill": fill, "zoom": 1, "out": flat(y)})
for shape, zoom, fill in [((7, 9, 2), 1.3, 0), ((8, 8, 3), .6, 1.5)]:
    x = pixels(shape).astype(np.float64)
    cy, cx = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    back = AffineTransform(scale=(1 / zoom, 1 / zoom), translation=(cx - cx / zoom, cy - cy / zoom))
    y = warp(x, back, order=1, mode="constant", cval=fill, clip=False, preserve_range=True)
    out["rotate"].append({"shape": shape, "degrees": 0, "fill": fill, "zoom": zoom, "out": flat(y)})
for shape, band, sigma in [((9, 11, 2), 1, .8), ((5, 4, 1), 0, 2.3), ((17, 1), 0, 1.4), ((4, 5, 6, 1), 0, 1.1)]:
    x = pixels(shape).astype(np.float64)
    y = gaussian_filter(x[..., band], sigma)
    out["smooth"].append({"shape": shape, "band": band, "sigma": sigma, "out": flat(y)})
print(json.dumps(out))
