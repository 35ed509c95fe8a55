#!/usr/bin/env python3
"""Make real.json: what NumPy has of the part val of AdrenalMNIST3D in blocks of 2³, for the test against real data. Run: python3 real.py
adrenalmnist3d_64.npz > real.json"""
import json
import sys
import numpy as np

z = np.load(sys.argv[1])
x = z["val_images"].reshape(-1, 32, 2, 32, 2, 32, 2).mean((2, 4, 6))
x = np.floor(x + .5)
print(json.dumps({"sums": x.sum((1, 2, 3)).astype(int).tolist(), "labels": z["val_labels"][:, 0].tolist(), "moments": (x * np.arange(32)).sum((1, 2, 3)).astype(int).tolist()}))
