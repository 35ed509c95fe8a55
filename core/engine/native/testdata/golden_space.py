#!/usr/bin/env python3
"""Make space.json, the goldens of convolutions in groups, transposed convolutions, average pools and enlargements, with
PyTorch in float64. Run as golden.py, which says how arrays are drawn:

  python3 golden_space.py
"""
import json, os
import torch.nn.functional as F
from golden import HERE, compact, data, layer_case

CASES = {}

def case(name, shape, params, f):
    """f takes x channels-first and the parameters, and gives y channels-first."""
    w = {k: data(name, k, s) for k, s in params.items() if s}
    CASES[name] = layer_case(name, data(name, "input", shape), w, f)

def conv(name, shape, weight, stride, padding, dilation, groups, bias):
    f = [F.conv1d, F.conv2d, F.conv3d][len(stride) - 1]
    case(name, shape, {"layer.weight": weight, "layer.bias": bias and weight[:1]},
         lambda x, w: f(x, w["layer.weight"], w.get("layer.bias"), stride, padding, dilation, groups))

def transposed(name, shape, weight, stride, padding, added, dilation, groups, bias):
    f = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d][len(stride) - 1]
    case(name, shape, {"layer.weight": weight, "layer.bias": bias and [weight[1] * groups]},
         lambda x, w: f(x, w["layer.weight"], w.get("layer.bias"), stride, padding, added, groups, dilation))

conv("depthwise of spectra", [3, 41, 5], [5, 1, 9], [1], [4], [1], 5, True)
conv("depthwise of maps", [2, 9, 8, 35], [35, 1, 7, 7], [1, 1], [3, 3], [1, 1], 35, True)
conv("depthwise of volumes", [2, 5, 6, 4, 3], [3, 1, 3, 3, 2], [1, 1, 1], [1, 1, 1], [1, 1, 1], 3, False)
conv("depthwise with stride and dilation", [2, 11, 12, 17], [17, 1, 3, 5], [2, 3], [2, 1], [3, 2], 17, False)
conv("depthwise with several outputs", [3, 17, 4], [12, 1, 5], [2], [2], [1], 4, True)
conv("depthwise with several outputs of volumes", [2, 4, 5, 6, 3], [6, 1, 2, 3, 2], [1, 2, 1], [1, 1, 0], [2, 1, 1], 3, True)
conv("groups of spectra", [3, 17, 6], [9, 2, 5], [2], [2], [1], 3, True)
conv("groups of maps", [2, 9, 8, 24], [48, 4, 3, 3], [1, 1], [1, 1], [1, 1], 6, False)
conv("groups of volumes", [2, 5, 6, 4, 4], [6, 2, 3, 2, 2], [1, 2, 1], [1, 0, 1], [2, 1, 1], 2, True)
conv("wide groups", [2, 6, 5, 40], [60, 20, 3, 3], [2, 1], [1, 1], [1, 2], 2, True)

transposed("transposed of spectra", [3, 9, 5], [5, 7, 4], [2], [1], [1], [1], 1, True)
transposed("transposed of maps", [2, 5, 4, 6], [6, 20, 3, 2], [2, 2], [1, 0], [1, 0], [1, 1], 1, False)
transposed("transposed of volumes", [2, 3, 4, 3, 3], [3, 5, 2, 3, 2], [2, 1, 3], [0, 1, 1], [1, 0, 2], [1, 2, 1], 1, True)
transposed("transposed with gaps", [2, 4, 5, 6], [6, 4, 2, 2], [3, 4], [0, 0], [0, 1], [1, 1], 1, True)
transposed("transposed with much added", [2, 5, 4, 6], [6, 4, 3, 2], [1, 2], [2, 1], [1, 2], [2, 3], 1, True)
transposed("transposed depthwise with much added", [2, 5, 4, 6], [6, 1, 3, 2], [1, 2], [2, 1], [1, 2], [2, 3], 6, True)
transposed("transposed in groups of spectra", [3, 9, 6], [6, 2, 3], [2], [1], [1], [1], 3, True)
transposed("transposed in groups of maps", [2, 5, 4, 8], [8, 3, 3, 3], [2, 1], [1, 1], [1, 0], [1, 2], 4, False)
transposed("transposed in groups of volumes", [2, 3, 3, 2, 4], [4, 3, 2, 3, 2], [1, 2, 2], [0, 1, 0], [0, 1, 0], [1, 1, 1], 2, True)
transposed("transposed depthwise", [2, 5, 4, 17], [17, 1, 4, 4], [2, 2], [1, 1], [0, 0], [1, 1], 17, True)
transposed("transposed depthwise with several outputs", [3, 9, 4], [4, 3, 5], [2], [2], [1], [1], 4, True)
transposed("transposed depthwise with several inputs", [3, 9, 12], [12, 1, 5], [2], [2], [1], [1], 4, True)

for n, shape, scale in (("spectra", [3, 7, 5], [3]), ("maps", [2, 4, 3, 17], [2, 3]), ("volumes", [2, 3, 2, 4, 3], [2, 1, 2]), ("a pixel", [3, 1, 1, 4], [4, 2])):
    case("nearest " + n, shape, {}, lambda x, w: F.interpolate(x, scale_factor=scale, mode="nearest"))
    mode = ["linear", "bilinear", "trilinear"][len(scale) - 1]
    case("linear " + n, shape, {}, lambda x, w: F.interpolate(x, scale_factor=scale, mode=mode, align_corners=False))

for n, shape, k, s, p in (("spectra", [2, 15, 4], [3], [2], [1]), ("maps", [2, 9, 8, 17], [3, 4], [2, 1], [1, 2]), ("volumes", [2, 4, 5, 6, 3], [2, 3, 2], [2, 1, 2], [0, 1, 1])):
    f = [F.avg_pool1d, F.avg_pool2d, F.avg_pool3d][len(k) - 1]
    case("average of " + n, shape, {}, lambda x, w: f(x, k, s, p))

with open(os.path.join(HERE, "space.json"), "w") as f:
    f.write(json.dumps(compact(CASES), separators=(",", ":")).replace('},"', '},\n"') + "\n")
