#!/usr/bin/env python3
"""Makes moco.pth.tar, a checkpoint as MoCo's authors write it, of torchvision's ResNet-18 as small as it can be made: one
channel at first, five bands. Its weights and running statistics are drawn, so that nothing is by chance what we draw.

Run with a Python that has torch and torchvision (made with 1.13.0 and 0.14.1):  python3 moco.py
"""
import collections, os
import torch, torch.nn as nn, torchvision
from torchvision.models.resnet import BasicBlock

torch.manual_seed(4)
WIDTH, BANDS = 1, 5

class Small(torchvision.models.ResNet):
    """torchvision's ResNet takes the number of its first channels from a constant, and the others from arguments."""
    def __init__(self):
        super().__init__(BasicBlock, [2, 2, 2, 2])
        self.inplanes = WIDTH
        self.conv1, self.bn1 = nn.Conv2d(BANDS, WIDTH, 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTH)
        for i in range(4): setattr(self, f"layer{i + 1}", self._make_layer(BasicBlock, WIDTH << i, 2, stride=1 if i == 0 else 2))
        self.fc = nn.Sequential(nn.Linear(WIDTH << 3, 8), nn.ReLU(), nn.Linear(8, 4))

state = collections.OrderedDict()
for encoder in ("encoder_q", "encoder_k"):
    net = Small()
    for name, v in net.state_dict().items():
        if name.endswith(("running_mean", "bias")): v.normal_(0, 0.1)
        elif name.endswith("running_var") or v.ndim == 1: v.uniform_(0.7, 1.3)
        state[f"module.{encoder}.{name}"] = v
state["module.queue"], state["module.queue_ptr"] = torch.randn(4, 16), torch.zeros(1, dtype=torch.long)
os.chdir(os.path.dirname(os.path.abspath(__file__)))
torch.save({"epoch": 3, "arch": "resnet18", "state_dict": state, "optimizer": torch.optim.SGD(net.parameters(), 0.1).state_dict()}, "moco.pth.tar", _use_new_zipfile_serialization=False)  # as PyTorch wrote files when theirs was published
