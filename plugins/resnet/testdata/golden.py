#!/usr/bin/env python3
"""Makes golden.json: the parameters of torchvision's residual networks, and small ones computed in one to three dimensions.

Run with a Python that has torch and torchvision (made with torch 1.13.1, torchvision 0.14.1):  python3 golden.py
"""
import os, sys
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../../core/engine/enginetest"))
import keyed
import torch, torch.nn as nn, torchvision

class Block(nn.Module):
    def __init__(self, rank, cin, width, stride, bottleneck):
        super().__init__()
        conv, norm = [nn.Conv1d, nn.Conv2d, nn.Conv3d][rank - 1], [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d][rank - 1]
        shape = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)] if bottleneck else [(width, 3, stride), (width, 3, 1)]
        self.depth, c = len(shape), cin
        for i, (out, k, s) in enumerate(shape):
            setattr(self, f"conv{i + 1}", conv(c, out, k, s, k // 2, bias=False)); setattr(self, f"bn{i + 1}", norm(out)); c = out
        if stride != 1 or cin != c:
            self.downsample = nn.Sequential(conv(cin, c, 1, stride, bias=False), norm(c))
    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.depth: y = y.relu()
        return (y + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()

class ResNet(nn.Module):
    """torchvision's without its last layer, of any rank, width and stem."""
    def __init__(self, rank, bands, depth, bottleneck, width, stem):
        super().__init__()
        k, s = {"imagenet": (7, 2), "paper": (7, 1), "small": (3, 1)}[stem]
        self.conv1 = [nn.Conv1d, nn.Conv2d, nn.Conv3d][rank - 1](bands, width, k, s, k // 2, bias=False)
        self.bn1 = [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d][rank - 1](width)
        self.pool = [nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d][rank - 1](3, 2, 1) if stem == "imagenet" else nn.Identity()
        c = width
        for stage, n in enumerate(depth):
            blocks = []
            for i in range(n):
                blocks.append(Block(rank, c, width << stage, 2 if stage and not i else 1, bottleneck))
                c = (width << stage) * (4 if bottleneck else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
    def forward(self, x):
        x = self.pool(self.bn1(self.conv1(x)).relu())
        for stage in range(1, 5): x = getattr(self, f"layer{stage}")(x)
        return x.flatten(2).mean(2)

ARCHS = {"r18": ([2, 2, 2, 2], False, "resnet18"), "r34": ([3, 4, 6, 3], False, "resnet34"),
         "r50": ([3, 4, 6, 3], True, "resnet50"), "r101": ([3, 4, 23, 3], True, "resnet101")}
CASES = [  # component, width, stem, batch, spatial..., bands
    ("r18", 8, "imagenet", [4, 64, 64, 5]), ("r18", 4, "small", [3, 16, 12, 18, 2]), ("r18", 4, "imagenet", [3, 48, 40, 33, 1]),
    ("r34", 8, "small", [6, 50, 2]), ("r50", 4, "paper", [4, 24, 19, 3]), ("r50", 4, "imagenet", [6, 128, 1]),
    ("r101", 4, "paper", [2, 16, 16, 16, 1]),
]

wholes, cases = {}, {}
for name, (depth, bottleneck, arch) in ARCHS.items():
    reference = getattr(torchvision.models, arch)(); reference.fc = nn.Identity(); reference.eval()
    meta = getattr(torchvision.models, {"r18": "ResNet18", "r34": "ResNet34", "r50": "ResNet50", "r101": "ResNet101"}[name] + "_Weights").IMAGENET1K_V1.meta
    wholes[name] = keyed.whole(reference)
    assert wholes[name]["parameters"] == meta["num_params"] - 1000 * ((2048 if bottleneck else 512) + 1)
    ours = ResNet(2, 3, depth, bottleneck, 64, "imagenet").eval(); ours.load_state_dict(reference.state_dict())
    x = torch.randn(2, 3, 64, 64)
    assert torch.allclose(ours(x), reference(x), atol=1e-5)
for name, width, stem, shape in CASES:
    depth, bottleneck, _ = ARCHS[name]
    net = ResNet(len(shape) - 2, shape[-1], depth, bottleneck, width, stem)
    case = f"{name} {stem} {len(shape) - 2}D"
    cases[case] = keyed.case(case, net, shape, [".bn3.weight" if bottleneck else ".bn2.weight"])
keyed.write(os.path.join(HERE, "golden.json"), wholes, cases)
