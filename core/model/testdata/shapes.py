#!/usr/bin/env python3
"""Make shapes.json, the sizes that PyTorch gives to the outputs of layers that slide over space, or that it refuses.

Run with a Python that has torch (made with torch 1.13.1):

  python3 shapes.py

Shapes are channels last; "out" is null where PyTorch refuses the layer.
"""
import json, os, random
import torch, torch.nn.functional as F

torch.set_num_threads(1)
rng = random.Random(1)

def draw(rank, least, most): return [rng.randint(least, most) for _ in range(rank)]

def case(layer):
    rank = rng.randint(1, 3)
    c = {"layer": layer, "in": draw(rank, 2, 9) + [rng.choice([2, 4, 6])]}
    if layer == "upsample":
        c["scale"], c["linear"] = draw(rank, 1, 3), rng.random() < 0.5
        return c
    if layer == "average_pool" and rank == 3:  # here alone PyTorch refuses a kernel that only padding lets in: none such
        c["in"] = draw(rank, 4, 9) + c["in"][-1:]
    c["kernel"], c["stride"], c["padding"] = draw(rank, 2, 4), draw(rank, 1, 3), draw(rank, 0, 1)
    if layer.startswith("conv"):
        c["dilation"], c["groups"], c["channels"] = draw(rank, 1, 2), rng.choice([1, 2, 2, 3]), rng.choice([4, 6, 6])
    if layer == "conv_transpose":
        c["output_padding"] = draw(rank, 0, rng.randint(0, 2))
    return c

def out(c):
    rank = len(c["in"]) - 1
    x = torch.zeros([1, c["in"][-1]] + c["in"][:-1])
    try:
        if c["layer"] == "upsample":
            mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[rank] if c["linear"] else "nearest"
            y = F.interpolate(x, scale_factor=[float(s) for s in c["scale"]], mode=mode)
        elif c["layer"] == "conv":
            m = [torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d][rank - 1]
            y = m(c["in"][-1], c["channels"], c["kernel"], c["stride"], c["padding"], c["dilation"], c["groups"])(x)
        elif c["layer"] == "conv_transpose":
            m = [torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d][rank - 1]
            y = m(c["in"][-1], c["channels"], c["kernel"], c["stride"], c["padding"], c["output_padding"], c["groups"], dilation=c["dilation"])(x)
        else:
            f = getattr(F, {"average_pool": "avg_pool", "max_pool": "max_pool"}[c["layer"]] + "%dd" % rank)
            y = f(x, c["kernel"], c["stride"], c["padding"])
    except (RuntimeError, ValueError):
        return None
    return list(y.shape[2:]) + [y.shape[1]]

cases = []
for layer, n in ("conv", 24), ("conv_transpose", 36), ("average_pool", 16), ("max_pool", 8), ("upsample", 8):
    for _ in range(n):
        c = case(layer)
        c["out"] = out(c)
        cases.append(c)
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "shapes.json"), "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
