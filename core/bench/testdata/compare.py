#!/usr/bin/env python3
"""Compare `asterism bench step|embed` with PyTorch, in turn on one machine, and print a table in Markdown.

  compare.py --asterism ./asterism --torch ../shared/bench/torch_moco_step.py [--rounds 3] [--only step50,paper,step18,embed]

Each round runs Asterism in float32 and in bfloat16 and PyTorch in both memory formats, one after the other; the table has
medians over rounds. The ratio is the time of the better of PyTorch's formats in float32 over Asterism's.
"""
import argparse, json, os, statistics, subprocess, sys

p = argparse.ArgumentParser()
p.add_argument("--asterism", required=True)
p.add_argument("--torch", required=True, help="torch_moco_step.py")
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--only", default="step50,paper,step18,embed")
a = p.parse_args()
embed = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_embed.py")
lines = {
    "step50": ("step", "50", "imagenet", 64, 65536, 5),
    "paper": ("step", "50", "paper", 16, 65536, 3),
    "step18": ("step", "18", "imagenet", 128, 4096, 7),
    "embed": ("embed", "50", "imagenet", 64, None, 9),
}


def run(command):
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(out.strip().splitlines()[-1])


print("| what | Asterism float32 | bfloat16 | PyTorch float32 | float32 ratio | bfloat16 ratio | peak MiB: float32, bfloat16, PyTorch |")
print("|---|---|---|---|---|---|---|")
for name in a.only.split(","):
    kind, depth, stem, batch, queue, steps = lines[name]
    times, memory = {}, {}
    for _ in range(a.rounds):
        for precision in ("float32", "bfloat16"):
            command = [a.asterism, "--progress", "none", "bench", kind, "--json", "--arch", "resnet.r" + depth, "--stem", stem, "--batch", str(batch),
                       "--precision", precision, "--steps", str(steps)]
            r = run(command + (["--queue", str(queue)] if queue else []))
            times.setdefault(precision, []).append(r["step_s"])
            memory.setdefault(precision, []).append(r["peak_rss_mib"])
        for layout in ([], ["--channels-last"]):
            command = [sys.executable, a.torch if kind == "step" else embed, "--arch", "resnet" + depth, "--stem", stem, "--batch", str(batch), "--steps", str(steps)]
            r = run(command + (["--queue", str(queue)] if queue else []) + layout)
            times.setdefault("torch" + "".join(layout), []).append(r["step_s"])
            memory.setdefault("torch" + "".join(layout), []).append(r["peak_rss_mib"])
    t = {k: statistics.median(v) for k, v in times.items()}
    m = {k: statistics.median(v) for k, v in memory.items()}
    better = min(("torch", "torch--channels-last"), key=t.get)
    print("| ResNet-%s %s, %s stem, batch %d | %.3f s | %.3f s | %.3f s | %.2f× | %.2f× | %.0f, %.0f, %.0f |" % (depth, kind, stem, batch, t["float32"], t["bfloat16"],
          t[better], t[better] / t["float32"], t[better] / t["bfloat16"], m["float32"], m["bfloat16"], m[better]), flush=True)
