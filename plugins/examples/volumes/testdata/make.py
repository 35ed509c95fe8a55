#!/usr/bin/env python3
"""Make what the tests read: made.npz, an archive of small volumes, one.npy, its first volume alone, and goldens.json, rotations
by SciPy for volumes.rotate.

Needs Debian's python3-scipy 1.10. Run in this folder: python3 make.py
"""
import json
import numpy as np
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

draw = np.random.default_rng(7)
train, val = (draw.integers(0, 256, (n, 4, 6, 4), np.uint8) for n in (5, 3))
np.savez_compressed("made.npz", train_images=train, train_labels=np.arange(5, dtype=np.uint8)[:, None] % 3,
                    val_images=val, val_labels=np.array([2, 0, 1], np.uint8)[:, None])
np.save("one.npy", train[0])

goldens = []
for shape, axes, degrees, spacing, fill in [((5, 6, 7), [0], [33], (1, 1, 1), 0), ((5, 6, 7), [1], [-121.5], (1, 1, 1), 2.5),
                                            ((6, 5, 4), [2, 0, 1], [20, 140, -75], (1, 1, 1), 0), ((6, 6, 6), [0, 1], [50, 10], (3, 1, 1.5), -1)]:
    x = np.sin(.37 * np.arange(np.prod(shape)) + .1).reshape(shape)
    m = np.eye(3)
    for axis, angle in zip(axes, degrees):  # in the space whose axes are those of the array
        vector = np.zeros(3)
        vector[axis] = np.radians(angle)
        m = Rotation.from_rotvec(vector).as_matrix() @ m
    s = np.diag(spacing)
    back = np.linalg.inv(s) @ m @ s
    centre = (np.array(shape) - 1) / 2
    y = affine_transform(x, back, centre - back @ centre, order=1, mode="grid-constant", cval=fill)
    goldens.append({"shape": shape, "axes": axes, "degrees": degrees, "spacing": spacing, "fill": fill, "out": [round(float(v), 6) for v in y.ravel()]})
with open("goldens.json", "w") as f:
    json.dump(goldens, f)
