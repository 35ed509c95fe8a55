#!/usr/bin/env python3
"""Makes the files that the tests read, with PyTorch itself, and golden.json: the names, types, shapes and values in them.

Run with a Python that has torch (made with torch 1.13.0):  python3 golden.py
"""
import argparse, collections, json, os
import numpy as np
import torch, torch.nn as nn

os.chdir(os.path.dirname(os.path.abspath(__file__)))
torch.manual_seed(1)

def twins():
    """A checkpoint as MoCo's authors write it: two encoders beside the optimiser, settings and scores."""
    state = collections.OrderedDict()
    for encoder in ("encoder_q", "encoder_k"):
        net = nn.Sequential(collections.OrderedDict(conv1=nn.Conv2d(2, 3, 2, bias=False), bn1=nn.BatchNorm2d(3)))
        net.bn1.running_mean.normal_()
        state.update({f"module.{encoder}.{k}": v for k, v in net.state_dict().items()})
    state["module.queue_ptr"] = torch.tensor([7])
    p = nn.Parameter(torch.randn(2))
    sgd = torch.optim.SGD([p], 0.1, momentum=0.9); p.grad = torch.randn(2); sgd.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(sgd, [3, 5])
    return {"epoch": 200, "arch": "resnet50", "state_dict": state, "optimizer": sgd.state_dict(), "schedule": schedule.state_dict(),
            "args": argparse.Namespace(lr=0.03, cos=True), "best": np.float64(71.1), "loss": 0.25, "done": False, "none": None, "big": 1 << 80, "minus": -70000, "size": torch.Size([2, 3]), "device": torch.device("cpu")}

def kinds():
    """Every type and layout: parameters, transposed, a part of another, a scalar, nothing at all, one value many times."""
    whole = torch.randn(4, 6)
    special = [0.0, -0.0, 1.0, -2.5, 65504.0, 6e-8, -6.1e-5, float("inf"), 1e-3]
    d = {"parameter": nn.Parameter(torch.randn(3)), "transposed": whole.t(), "part": whole[1:3, 2:5], "step": whole[:, ::2], "scalar": torch.tensor(3.5),
         "empty": torch.zeros(0, 4), "channels_last": torch.randn(1, 2, 2, 3).contiguous(memory_format=torch.channels_last), "expanded": torch.tensor([2.0]).expand(3)}
    for t in (torch.float64, torch.float16, torch.bfloat16): d[str(t).split(".")[1]] = torch.tensor(special).to(t)
    for t in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool): d[str(t).split(".")[1]] = torch.tensor([1, 0, 1]).to(t)
    return {"model": d, "layers": [torch.tensor([1.0]), (torch.tensor([2.0]),)], 5: torch.tensor([5.0])}

def values(t):
    v = t.detach().double().float().double().contiguous().reshape(-1).tolist()
    return [repr(x) for x in v]

def tensors(x, at=()):
    if isinstance(x, torch.Tensor): yield ".".join(at), {"dtype": str(x.dtype).split(".")[1], "shape": list(x.shape), "values": values(x)}
    elif isinstance(x, dict):
        for k, v in x.items(): yield from tensors(v, at + (str(k),))
    elif isinstance(x, (list, tuple)):
        for i, v in enumerate(x): yield from tensors(v, at + (str(i),))

class Foreign:
    def __reduce__(self): return (os.system, ("touch /tmp/executed",))

golden = {}
for name, content in (("twins", twins()), ("kinds", kinds())):
    for ending, options in ((".pth", {}), (".legacy.pth", {"_use_new_zipfile_serialization": False}), (".protocol4.pth", {"pickle_protocol": 4})):
        torch.save(content, name + ending, **options)
    golden[name] = dict(tensors(content))
torch.save({"state_dict": {"a": torch.zeros(1)}, "x": Foreign()}, "foreign.pth")
torch.save({"x": Foreign()}, "foreign.legacy.pth", _use_new_zipfile_serialization=False)
torch.save(nn.Linear(1, 1), "module.pth")
with open("golden.json", "w") as f: f.write(json.dumps(golden, separators=(",", ":")).replace('},"', '},\n"') + "\n")
