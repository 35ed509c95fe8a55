#!/usr/bin/env python3
"""Make attention.json, the goldens of layer and group norms, smooth functions, softmax, attention and dropout, with PyTorch
in float64. Run as golden.py, which says how arrays are drawn:

  python3 golden_attention.py
"""
import hashlib, json, os, struct
import numpy as np
import torch, torch.nn.functional as F
from golden import HERE, compact, data, first, last, layer_case, philox

CASES = {}

def case(name, shape, params, f):
    """f takes x channels-last and the parameters, by the names of params with their shapes, and gives y channels-last."""
    w = {k: data(name, k, s) for k, s in params.items()}
    CASES[name] = layer_case(name, data(name, "input", shape), w, lambda x, w: first(f(last(x), w)))

SHAPES = {"a vector": [6, 19], "a spectrum": [3, 17, 12], "a map": [2, 4, 3, 20], "a volume": [2, 2, 3, 2, 8]}

for of, shape in SHAPES.items():
    c = shape[-1]
    params = {"layer.weight": [c], "layer.bias": [c]}
    case("layer norm of " + of, shape, params, lambda x, w: F.layer_norm(x, (c,), w["layer.weight"], w["layer.bias"], 1e-5))
    if c % 4 == 0:
        case("group norm of " + of, shape, params, lambda x, w: last(F.group_norm(first(x), 4, w["layer.weight"], w["layer.bias"], 1e-5)))
    case("softmax of " + of, shape, {}, lambda x, w: F.softmax(x, -1))
    case("gelu of " + of, shape, {}, lambda x, w: F.gelu(x))
    case("silu of " + of, shape, {}, lambda x, w: F.silu(x))
    case("sigmoid of " + of, shape, {}, lambda x, w: torch.sigmoid(x))
    case("tanh of " + of, shape, {}, lambda x, w: torch.tanh(x))
    case("leaky_relu of " + of, shape, {}, lambda x, w: F.leaky_relu(x, 0.2))
case("group norm of vectors", [5, 24], {"layer.weight": [24], "layer.bias": [24]}, lambda x, w: F.group_norm(x, 3, w["layer.weight"], w["layer.bias"], 1e-3))
case("plain layer norm", [3, 7, 33], {}, lambda x, w: F.layer_norm(x, (33,), None, None, 1e-2))
case("layer norm without bias", [3, 7, 33], {"layer.weight": [33]}, lambda x, w: F.layer_norm(x, (33,), w["layer.weight"], None, 1e-6))
case("layer norm without weight", [3, 7, 33], {"layer.bias": [33]}, lambda x, w: F.layer_norm(x, (33,), None, w["layer.bias"], 1e-6))
case("plain group norm", [3, 7, 12], {}, lambda x, w: last(F.group_norm(first(x), 1, None, None, 1e-2)))
case("group norm without bias", [3, 7, 12], {"layer.weight": [12]}, lambda x, w: last(F.group_norm(first(x), 12, w["layer.weight"], None, 1e-5)))
case("group norm without weight", [3, 7, 12], {"layer.bias": [12]}, lambda x, w: last(F.group_norm(first(x), 6, None, None, 1e-5)) + w["layer.bias"])
case("one layer norm twice", [3, 7, 9], {"layer.weight": [9], "layer.bias": [9]}, lambda x, w: (lambda n: n(F.gelu(n(x))))(
    lambda x: F.layer_norm(x, (9,), w["layer.weight"], w["layer.bias"], 1e-5)))

def attention(heads, q, k, v):
    split = lambda x: x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)
    q, k, v = split(q), split(k), split(v)
    return ((q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)

case("attention", [2, 9, 24], {}, lambda x, w: attention(2, *x.chunk(3, -1)))
case("attention of one head", [2, 5, 9], {}, lambda x, w: attention(1, *x.chunk(3, -1)))
case("attention of many tokens", [2, 70, 24], {}, lambda x, w: attention(4, *(4 * x).chunk(3, -1)))
case("attention of three", [2, 9, 12], {"layer.value": [5, 12]}, lambda x, w: attention(3, w["layer.value"].expand(2, -1, -1), x, F.relu(x)))
case("attention to itself", [2, 9, 12], {}, lambda x, w: attention(3, x, x, x))
case("attention between parts", [2, 9, 12], {}, lambda x, w: attention(3, x[:, :2], x[:, 2:], x[:, 2:]))

def kept(layer, samples, values, rate, seed=0, step=0):
    """What core/key draws: value i of a sample is kept where draw i at (step, place) is at least rate·2³²."""
    key = struct.unpack("<II", hashlib.sha256(b"".join(s.encode() + b"\0" for s in (str(seed), "dropout", layer, "only"))).digest()[:8])
    rows = []
    for sample in range(samples):
        i = np.arange((values + 3) // 4, dtype=np.uint64)
        words = philox([i, np.full_like(i, step), np.full_like(i, sample), np.zeros_like(i)], key)
        rows.append(np.stack(words, 1).reshape(-1)[:values] >= round(rate * 2 ** 32))
    return torch.from_numpy(np.stack(rows)).double() / (1 - rate)

def dropout(x, rate, layer="encoder.layer"): return x * kept(layer, x.shape[0], x[0].numel(), rate).reshape(x.shape).to(x.dtype)

for of, shape in SHAPES.items():
    case("dropout of " + of, shape, {}, lambda x, w: dropout(x, 0.3))
case("dropout of nothing", [3, 5, 6], {}, lambda x, w: x)

c = 12
case("transformer block", [3, 10, c], {"layer.n1": [c], "layer.b1": [c], "layer.qkv": [3 * c, c], "layer.out": [c, c], "layer.n2": [c], "layer.b2": [c],
    "layer.up": [4 * c, c], "layer.down": [c, 4 * c]}, lambda x, w: (lambda x:
        x + dropout(F.linear(F.gelu(F.linear(F.layer_norm(x, (c,), w["layer.n2"], w["layer.b2"], 1e-6), w["layer.up"])), w["layer.down"]), 0.1, "encoder.second"))(
    x + dropout(F.linear(attention(3, *F.linear(F.layer_norm(x, (c,), w["layer.n1"], w["layer.b1"], 1e-6), w["layer.qkv"]).chunk(3, -1)), w["layer.out"]), 0.1, "encoder.first")))

if __name__ == "__main__":
    with open(os.path.join(HERE, "attention.json"), "w") as f:
        f.write(json.dumps(compact(CASES), separators=(",", ":")).replace('},"', '},\n"') + "\n")
