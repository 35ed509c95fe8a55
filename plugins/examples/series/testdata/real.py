#!/usr/bin/env python3
"""Make real.json: what NumPy reads of the archives' files, for the test against real data. Run: python3 real.py FOLDER > real.json"""
import json
import pathlib
import sys
import numpy as np

out = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*/*.ts")):
    lines = path.read_text().split("@data\n")[1].split()
    cases = [line.split(":") for line in lines]
    values = np.array([[d.split(",") for d in case[:-1]] for case in cases], float)  # [case, dimension, time]
    labels, counts = np.unique([case[-1] for case in cases], return_counts=True)
    out[f"{path.parent.name}/{path.name}"] = {"shape": values.shape, "means": values.mean((0, 2)).tolist(), "last": values[-1, :, -1].tolist(), "labels": dict(zip(labels.tolist(), counts.tolist()))}
print(json.dumps(out))
