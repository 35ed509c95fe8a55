#!/usr/bin/env python3
"""Makes golden.json: the parameters of vision transformers, and small ones computed in one to three dimensions.

Run with a Python that has torch and torchvision (made with torch 1.13.1, torchvision 0.14.1):  python3 golden.py
"""
import math, os, sys
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../../core/engine/enginetest"))
import keyed
import torch, torch.nn as nn
from torchvision.models import VisionTransformer

def torchvisions(size, patch, width, heads, depth):
    net = VisionTransformer(size, patch, depth, heads, width, 4 * width)
    net.heads = nn.Identity()
    return net

class Network(VisionTransformer):
    """torchvision's without its last layer, of any rank, and with a choice of the pooling."""
    def __init__(self, shape, patch, width, heads, depth, pooling):
        super().__init__(patch, patch, depth, heads, width, 4 * width)
        rank = len(shape) - 1
        self.conv_proj = [nn.Conv1d, nn.Conv2d, nn.Conv3d][rank - 1](shape[-1], width, patch, patch)
        tokens = math.prod(n // patch for n in shape[:-1])
        if pooling == "mean": del self.class_token
        self.encoder.pos_embedding = nn.Parameter(torch.zeros(1, tokens + (pooling == "class"), width))
        self.heads, self.pooling = nn.Identity(), pooling
    def forward(self, x):
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        if self.pooling == "class": x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1)
        x = self.encoder(x)
        return x[:, 0] if self.pooling == "class" else x.mean(1)

SIZES = {"tiny": (192, 3, 12), "small": (384, 6, 12)}
CASES = {"2D class": ([3, 24, 24, 5], 8, "class"), "2D mean": ([3, 12, 20, 3], 4, "mean"), "1D class": ([4, 60, 2], 6, "class"),
    "3D mean": ([2, 8, 12, 8, 2], 4, "mean")}  # input, patch, pooling

wholes, cases = {}, {}
for name, (width, heads, depth) in SIZES.items():
    wholes[name] = keyed.whole(torchvisions(224, 16, width, heads, depth))
    published = {"tiny": 5717416, "small": 22050664}[name]  # of DeiT-Ti and DeiT-S, which have these sizes and 1000 classes
    assert wholes[name]["parameters"] == published - 1000 * (width + 1)
small = torchvisions(24, 8, 24, 3, 2).eval()
ours = Network([24, 24, 3], 8, 24, 3, 2, "class").eval(); ours.load_state_dict(small.state_dict())
x = torch.randn(2, 3, 24, 24)
assert torch.allclose(ours(x), small(x), atol=1e-5)
for name, (shape, patch, pooling) in CASES.items():
    net = Network(shape[1:], patch, 24, 3, 2, pooling)
    cases[name] = keyed.case(name, net, shape, [".out_proj.weight", ".mlp.3.weight"])
keyed.write(os.path.join(HERE, "golden.json"), wholes, cases)
