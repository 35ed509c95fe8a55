#!/usr/bin/env python3
"""Make bfloat16.json: how far PyTorch's own bfloat16 (autocast) is from its float64, where that is the yardstick. Run as
golden.py, which says how arrays are drawn, on a processor with AVX-512 BF16:

  python3 golden_bfloat16.py

A layer is within 1e-2 of float64, relative to the norm, unless rounding changes more than the values: the gradient of a
max pool goes elsewhere where another value becomes the greatest, and a sharp softmax, or a dozen layers in a row, enlarge
the rounding of what comes before. So do whole networks.
"""
import json, math, os
import torch, torch.nn.functional as F
import golden
from golden import HERE, NETWORKS, compact, data, first, last, passes, resnet

LAYERS = {}

def distance(a, b): return float((a.double() - b).norm() / b.norm())

def layer_case(name, x, weights, f, extra=None):
    """What golden.layer_case computes, in float64 and under autocast."""
    if not name.startswith("pool") and name not in ("attention of many tokens", "transformer block"): return {}
    weights = {"before.weight": data(name, "before.weight", [x.shape[-1]] * 2 + [1] * (x.dim() - 2)), **weights}
    conv = [F.linear, F.conv1d, F.conv2d, F.conv3d][x.dim() - 2]
    def compute(dtype):
        w = {k: v.to(dtype).clone().requires_grad_() for k, v in weights.items()}
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
            y = last(f(conv(first(x.to(dtype)), w["before.weight"]), w))
        y.backward(data(name, "gradient", list(y.shape)).to(y.dtype))
        return {"out": y.detach(), **{"gradient " + k: v.grad for k, v in w.items()}}
    exact, low = compute(torch.float64), compute(torch.float32)
    LAYERS[name] = {k: distance(low[k], exact[k]) for k in exact}
    return {}

def networks():
    cases = {}
    for name, arch, bands, stem, size, batch, zero in NETWORKS:
        x = first(data(name, "input", [batch, size, size, bands]))
        g = data(name, "gradient", [batch, 2048 if arch == "resnet50" else 512])
        m, low = resnet(name, arch, bands, stem, zero), resnet(name, arch, bands, stem, zero).float().train()
        y, grads = passes(m, x, g)
        with torch.autocast("cpu", torch.bfloat16): z = low(x.float())
        z.backward(g.to(z.dtype))
        d = sum(float((p.grad.double() - b).norm()) ** 2 for p, b in zip(low.parameters(), grads))
        m.eval(); low.eval()
        with torch.no_grad():
            with torch.autocast("cpu", torch.bfloat16): inferred = low(x.float())
            cases[name] = {"forward": distance(z, y), "gradient": math.sqrt(d / sum(float(b.norm()) ** 2 for b in grads)), "inference": distance(inferred, m(x))}
        print(name, cases[name])
    return cases

alike = F.layer_norm  # which wants its weights in the type of its input
F.layer_norm = lambda x, shape, w, b, e: alike(x, shape, *(v if v is None else v.to(x.dtype) for v in (w, b)), e)
golden.layer_case = layer_case
golden.layers()
import golden_attention
with open(os.path.join(HERE, "bfloat16.json"), "w") as f:
    f.write(json.dumps(compact({"layers": LAYERS, "networks": networks()}), indent=1) + "\n")
