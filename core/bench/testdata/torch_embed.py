#!/usr/bin/env python3
"""Time PyTorch's inference of an encoder on random images, to compare `asterism bench embed` with on the same machine.

  torch_embed.py --arch resnet50 --batch 64 [--stem imagenet|paper] [--channels-last] [--bf16]

Needs Debian's python3-torch and python3-torchvision. Prints one JSON line: the median of --steps timed passes after two to
warm up, without gradients, batch norm in inference, the classifier left out.
"""
import argparse, json, resource, statistics, time
import torch, torch.nn as nn, torchvision

p = argparse.ArgumentParser()
p.add_argument("--arch", default="resnet50")
p.add_argument("--batch", type=int, default=64)
p.add_argument("--bands", type=int, default=5)
p.add_argument("--size", type=int, default=64)
p.add_argument("--stem", default="imagenet", choices=["imagenet", "paper"])
p.add_argument("--steps", type=int, default=7)
p.add_argument("--threads", type=int, default=2)
p.add_argument("--channels-last", action="store_true")
p.add_argument("--bf16", action="store_true")
a = p.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)
layout = torch.channels_last if a.channels_last else torch.contiguous_format
m = getattr(torchvision.models, a.arch)()
m.conv1 = nn.Conv2d(a.bands, 64, 7, 2 if a.stem == "imagenet" else 1, 3, bias=False)
if a.stem == "paper":
    m.maxpool = nn.Identity()
m.fc = nn.Identity()
m = m.eval().to(memory_format=layout)
x = torch.randn(a.batch, a.bands, a.size, a.size).to(memory_format=layout)
times = []
with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=a.bf16):
    for _ in range(a.steps + 2):
        began = time.perf_counter()
        m(x)
        times.append(time.perf_counter() - began)
s = statistics.median(times[2:])
print(json.dumps({"engine": "torch " + torch.__version__, "arch": a.arch, "stem": a.stem, "batch": a.batch, "channels_last": a.channels_last,
                  "bf16": a.bf16, "step_s": round(s, 4), "images_per_s": round(a.batch / s, 2),
                  "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
