#!/usr/bin/env python3
"""Makes golden.json: perceptrons of torchvision without their last layer.

Run with a Python that has torch and torchvision (made with torch 1.13.1, torchvision 0.14.1):  python3 golden.py
"""
import os, sys
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../../core/engine/enginetest"))
import keyed
import torch, torch.nn as nn, torchvision

def network(values, hidden, norm):
    net = torchvision.ops.MLP(values, hidden + [10], norm_layer=norm)
    return nn.Sequential(*list(net)[:-2])  # without the last linear layer and its dropout

class Flat(nn.Sequential):
    def forward(self, x): return super().forward(keyed.last(x).flatten(1))

NORMS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": None}
CASES = {"vector batch": [9, 12], "vector none": [5, 7], "1D layer": [6, 9, 2], "2D batch": [12, 6, 5, 3], "3D none": [4, 3, 4, 2, 2]}

wholes = {"encoder": keyed.whole(network(8 * 8 * 3, [512, 512], nn.BatchNorm1d))}
cases = {}
for name, shape in CASES.items():
    net = Flat(*network(int(torch.tensor(shape[1:]).prod()), [24, 17, 9], NORMS[name.split()[1]]))
    cases[name] = keyed.case(name, net, shape)
keyed.write(os.path.join(HERE, "golden.json"), wholes, cases)
