#!/usr/bin/env python3
"""Makes golden.json: the parameters of ConvNeXts, and small ones computed in one to three dimensions.

Run with a Python that has torch and torchvision (made with torch 1.13.1, torchvision 0.14.1):  python3 golden.py
"""
import os, sys
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../../core/engine/enginetest"))
import keyed
import torch, torch.nn as nn, torchvision
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

class Last(nn.Module):
    def forward(self, x): return keyed.last(x)
class First(nn.Module):
    def forward(self, x): return keyed.first(x)

class Norm(nn.LayerNorm):
    def forward(self, x): return keyed.first(super().forward(keyed.last(x)))

class Block(nn.Module):
    def __init__(self, conv, c, rank):
        super().__init__()
        self.block = nn.Sequential(conv(c, c, 7, padding=3, groups=c), Last(), nn.LayerNorm(c, eps=1e-6),
            nn.Linear(c, 4 * c), nn.GELU(), nn.Linear(4 * c, c), First())
        self.layer_scale = nn.Parameter(torch.full((c,) + (1,) * rank, 1e-6))
    def forward(self, x): return x + self.layer_scale * self.block(x)

class Network(nn.Module):
    """torchvision's without its last layer, of any rank and patch."""
    def __init__(self, rank, bands, width, depth, patch):
        super().__init__()
        conv = [nn.Conv1d, nn.Conv2d, nn.Conv3d][rank - 1]
        layers = [nn.Sequential(conv(bands, width, patch, patch), Norm(width, eps=1e-6))]
        for stage, n in enumerate(depth):
            c = width << stage
            if stage: layers.append(nn.Sequential(Norm(c // 2, eps=1e-6), conv(c // 2, c, 2, 2)))
            layers.append(nn.Sequential(*[Block(conv, c, rank) for _ in range(n)]))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.LayerNorm(c, eps=1e-6))
    def forward(self, x): return self.classifier(self.features(x).flatten(2).mean(2))

def torchvisions(width, depth):
    net = ConvNeXt([CNBlockConfig(width << i, width << i + 1 if i < 3 else None, n) for i, n in enumerate(depth)])
    net.classifier[2] = nn.Identity()
    return net

SIZES = {"atto": (40, [2, 2, 6, 2]), "femto": (48, [2, 2, 6, 2]), "pico": (64, [2, 2, 6, 2]), "nano": (80, [2, 2, 8, 2]), "tiny": (96, [3, 3, 9, 3])}
CASES = {"2D": ([3, 36, 34, 5], 4), "2D small": ([4, 17, 16, 3], 1), "1D": ([5, 70, 2], 4), "3D": ([2, 16, 18, 17, 1], 2)}  # input, patch

wholes, cases = {}, {}
for name, (width, depth) in SIZES.items():
    reference = torchvisions(width, depth).eval()
    wholes[name] = keyed.whole(reference)
    ours = Network(2, 3, width, depth, 4).eval(); ours.load_state_dict(reference.state_dict())
    for net in (ours, reference):
        for k, p in net.named_parameters():
            if k.endswith("layer_scale"): nn.init.constant_(p, 0.3)
    x = torch.randn(2, 3, 64, 64)
    assert torch.allclose(ours(x), reference(x).flatten(1), atol=1e-5)
published = torchvision.models.ConvNeXt_Tiny_Weights.IMAGENET1K_V1.meta["num_params"]
assert wholes["tiny"]["parameters"] == published - 1000 * (768 + 1)
for name, (shape, patch) in CASES.items():
    cases[name] = keyed.case(name, Network(len(shape) - 2, shape[-1], 8, [1, 1, 2, 1], patch), shape, [".layer_scale"])
keyed.write(os.path.join(HERE, "golden.json"), wholes, cases)
