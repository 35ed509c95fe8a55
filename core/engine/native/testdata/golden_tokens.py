#!/usr/bin/env python3
"""Make tokens.json, the goldens of linear layers on any shape and of the layers that combine, move and choose values, with
PyTorch in float64. Run as golden.py, which says how arrays are drawn:

  python3 golden_tokens.py
"""
import hashlib, json, os, struct
import torch, torch.nn.functional as F
from golden import HERE, between, compact, data, first, last, layer_case, philox
import numpy as np

def order(layer, samples, tokens, seed=0, step=0):
    """The permutations that core/key draws: Fisher and Yates with Lemire's unbiased integers, at (step, place)."""
    key = struct.unpack("<II", hashlib.sha256(b"".join(s.encode() + b"\0" for s in (str(seed), "token order", layer, "only"))).digest()[:8])
    result = []
    for sample in range(samples):
        def words():
            block = 0
            while True:
                yield from (int(w[0]) for w in philox([np.array([v], dtype=np.uint64) for v in (block, step, sample, 0)], key))
                block += 1
        draw = words()
        p = list(range(tokens))
        for i in range(tokens - 1, 0, -1):
            while True:
                product = next(draw) * (i + 1)
                if product % 2**32 >= 2**32 % (i + 1): break
            j = product >> 32
            p[i], p[j] = p[j], p[i]
        result.append(p)
    return torch.tensor(result)

CASES = {}

def case(name, shape, params, f):
    """f takes x channels-last and the parameters, by the names of params with their shapes, and gives y channels-last."""
    w = {k: data(name, k, s) for k, s in params.items()}
    CASES[name] = layer_case(name, data(name, "input", shape), w, lambda x, w: first(f(last(x), w)))

def rows(w): return w / w.norm(dim=1, keepdim=True)
def pick(x, i): return torch.gather(x, 1, i[:, :, None].expand(-1, -1, x.shape[2]))

for n, shape in (("linear of a spectrum", [3, 17, 5]), ("linear of a map", [2, 4, 3, 6]), ("linear of a volume", [2, 2, 3, 2, 5])):
    c = shape[-1]
    case(n, shape, {"layer.weight": [33, c], "layer.bias": [33]}, lambda x, w: F.linear(x, w["layer.weight"], w["layer.bias"]))
case("unit linear", [6, 19], {"layer.weight": [37, 19]}, lambda x, w: F.linear(x, rows(w["layer.weight"])))
case("unit linear of tokens", [3, 7, 19], {"layer.weight": [21, 19], "layer.bias": [21]}, lambda x, w: F.linear(x, rows(w["layer.weight"]), w["layer.bias"]))

for n, op in (("add", torch.add), ("multiply", torch.mul)):
    case(n + " maps", [2, 3, 4, 5], {}, lambda x, w: op(x, F.relu(x)))
    case(n + " itself", [2, 3, 4, 5], {}, lambda x, w: op(x, x))
    case(n + " a spectrum's channels", [3, 9, 5], {}, lambda x, w: op(x, x.mean(1, keepdim=True)))
    case(n + " a map's channels", [2, 3, 4, 5], {}, lambda x, w: op(x, x.mean((1, 2), keepdim=True)))
    case(n + " a volume's channels", [2, 2, 3, 2, 5], {}, lambda x, w: op(x, x.mean((1, 2, 3), keepdim=True)))
    case(n + " lines", [2, 3, 4, 5], {}, lambda x, w: op(x, F.relu(x)[:, 1:2]))
    case(n + " learned channels", [2, 3, 4, 5], {"layer.value": [5]}, lambda x, w: op(x, w["layer.value"]))
    case(n + " learned lines", [2, 3, 4, 5], {"layer.value": [4, 5]}, lambda x, w: op(x, w["layer.value"]))
    case(n + " a learned map", [2, 3, 4, 5], {"layer.value": [3, 4, 5]}, lambda x, w: op(x, w["layer.value"]))
    case(n + " to a learned map", [2, 3, 4, 5], {"layer.value": [3, 4, 5]}, lambda x, w: op(w["layer.value"], x))
    case(n + " to learned lines", [2, 3, 5], {"layer.value": [4, 5]}, lambda x, w: op(w["layer.value"], x.mean(1, keepdim=True)))
    case(n + " learned twice", [3, 5], {"layer.value": [5]}, lambda x, w: op(op(x, w["layer.value"]), op(w["layer.value"], w["layer.value"])))

for axis in range(3):
    case(f"concat {axis}", [2, 3, 4, 5], {}, lambda x, w: torch.cat([x, F.relu(x), x], axis + 1))
    case(f"slice {axis}", [2, 4, 5, 6], {}, lambda x, w: x.narrow(axis + 1, 1, 2))
    case(f"concat {axis} with learned", [2, 3, 4, 5], {"layer.value": [3, 4, 5]}, lambda x, w: torch.cat([w["layer.value"].expand(2, -1, -1, -1), x], axis + 1))
case("concat of one", [2, 3, 4], {}, lambda x, w: x)
case("concat of vectors", [4, 5], {"layer.value": [3]}, lambda x, w: torch.cat([x, w["layer.value"].expand(4, -1), F.relu(x)], 1))
case("concat of volumes", [2, 2, 3, 2, 3], {}, lambda x, w: torch.cat([x, F.relu(x)], -1))
case("slice of volumes", [2, 2, 3, 4, 3], {}, lambda x, w: x[:, :, :, 1:])
case("whole slice", [2, 5, 3], {}, lambda x, w: x)
case("reshape", [2, 4, 3, 5], {}, lambda x, w: F.relu(x.reshape(2, 12, 5)) + x.reshape(2, 12, 5))
case("reshape of learned", [3, 6], {"layer.value": [2, 3]}, lambda x, w: x + w["layer.value"].reshape(6))
case("learned", [3, 2], {"layer.value": [4, 3]}, lambda x, w: x.mean() * 0 + w["layer.value"].expand(3, -1, -1))
case("stop gradient", [3, 4, 5], {}, lambda x, w: x * x.detach() + x.detach())
case("shared weights", [3, 4, 5], {"layer.weight": [5, 5], "layer.value": [5]}, lambda x, w:
    F.linear(F.linear(x, w["layer.weight"]) * w["layer.value"], w["layer.weight"], w["layer.value"])
    + F.linear(x.mean(1), rows(w["layer.weight"]))[:, None] + w["layer.value"])

for n, shape in (("one value", [1, 1]), ("one token of one channel", [1, 1, 1]), ("one pixel of one channel", [1, 1, 1, 1])):
    case(n, shape, {"layer.value": [1]}, lambda x, w: torch.cat([(x * w["layer.value"] + x) ** 2 + w["layer.value"], x, x * w["layer.value"]], 1)[:, :2])

o = order("encoder.order", 3, 11)
case("gather", [3, 11, 6], {}, lambda x, w: pick(x, o[:, 2:7]))
def scatter(x, filling): # x at the first places of the order
    return pick(torch.cat([x, filling.expand(3, 6, -1)], 1), o.argsort(1))
case("scatter", [3, 11, 6], {"layer.value": [6]}, lambda x, w: scatter(x[:, :5], w["layer.value"]))
case("scatter with a filling of each", [3, 11, 6], {}, lambda x, w: scatter(x[:, 6:], x.mean(1, keepdim=True)))
case("masked tokens", [3, 11, 6], {"layer.positions": [11, 6], "layer.class": [1, 6], "layer.weight": [6, 6], "layer.scale": [6], "layer.mask": [6]}, lambda x, w: (
    lambda t: torch.cat([t[:, :1], scatter(t[:, 1:], w["layer.mask"]) + w["layer.positions"]], 1))(
    (lambda t: t + w["layer.scale"] * F.linear(t, w["layer.weight"]))(torch.cat([w["layer.class"].expand(3, -1, -1), pick(x + w["layer.positions"], o[:, :5])], 1))))

with open(os.path.join(HERE, "tokens.json"), "w") as f:
    f.write(json.dumps(compact(CASES), separators=(",", ":")).replace('},"', '},\n"') + "\n")
