#!/usr/bin/env python3
"""Make the goldens of the native engine with PyTorch in float64: layers.json, networks.json, moco.safetensors.

Run with a Python that has torch and torchvision (made with torch 1.13.1, torchvision 0.14.1, numpy 1.24):

  python3 golden.py

Inputs, weights and the vectors onto which results are projected are uniforms of Philox4x32-10, keyed as core/key does, so
that Go and Python draw the same bits and the files hold norms and projections only. An array's values 2i and 2i+1 are
the first two draws at counter (0, i) of the key (seed, purpose, names...).
"""
import hashlib, json, math, os, struct
import numpy as np
import torch, torch.nn as nn, torch.nn.functional as F, torchvision

torch.manual_seed(0); torch.set_num_threads(2)
HERE = os.path.dirname(os.path.abspath(__file__))

def philox(counter, key):
    """Ten rounds of Philox4x32 over arrays of uint64 that hold 32-bit words."""
    c = [x.astype(np.uint64) for x in counter]; k0, k1 = key
    mask = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & mask, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c

def uniforms(n, seed, purpose, *path):
    """n uniforms in [0, 1), float64."""
    h = hashlib.sha256(b"".join(s.encode() + b"\0" for s in (str(seed), purpose) + path)).digest()
    key = struct.unpack("<II", h[:8])
    i = np.arange((n + 1) // 2, dtype=np.uint64); zero = np.zeros_like(i)
    b = philox([zero, zero, i & np.uint64(0xFFFFFFFF), i >> np.uint64(32)], key)
    u = np.empty(2 * len(i))
    u[0::2] = ((b[0] | b[1] << np.uint64(32)) >> np.uint64(11)).astype(np.float64) * 2.0 ** -53
    u[1::2] = ((b[2] | b[3] << np.uint64(32)) >> np.uint64(11)).astype(np.float64) * 2.0 ** -53
    return u[:n]

def between(bound, shape, seed, purpose, *path):
    n = int(np.prod(shape))
    u = (-bound + 2 * bound * uniforms(n, seed, purpose, *path)).astype(np.float32)
    return torch.from_numpy(u.astype(np.float64).reshape(shape))

def data(case, name, shape):
    return between(1.0, shape, 1, "golden", case, name)

def summary(case, name, t, projections):
    v = t.detach().double().contiguous().numpy().reshape(-1)
    p = [float(v @ (-1 + 2 * uniforms(v.size, 1, "projection", case, name, str(j)))) for j in range(projections)]
    return {"norm": float(np.linalg.norm(v)), "projections": p}

def last(x):   # channels first -> channels last
    return x.permute(0, *range(2, x.dim()), 1) if x.dim() > 2 else x
def first(x):  # channels last -> channels first
    return x.permute(0, x.dim() - 1, *range(1, x.dim() - 1)) if x.dim() > 2 else x

# --- layers: each after a 1x1 convolution (a linear layer on vectors), whose gradient shows the layer's input gradient ---

def layer_case(name, x, weights, f, extra=None):
    """x channels-last; weights by name; f(x channels-first, weights) -> y channels-first."""
    c = x.shape[-1]
    w = {"before.weight": data(name, "before.weight", [c, c] + [1] * (x.dim() - 2)), **weights}
    w = {k: v.clone().requires_grad_() for k, v in w.items()}
    rank = x.dim() - 2
    conv = [F.linear, F.conv1d, F.conv2d, F.conv3d][rank]
    y = last(f(conv(first(x), w["before.weight"]), w))
    g = data(name, "gradient", list(y.shape))
    y.backward(g)
    out = {"out": summary(name, "out", y, 8)}
    for k, v in w.items():
        out["gradient " + k] = summary(name, "gradient " + k, v.grad, 8)
    for k, v in (extra or {}).items():
        out[k] = summary(name, k, v, 8)
    return out

def layers():
    cases = {}
    def conv(name, shape, cout, k, stride, pad, dilation, bias):
        rank = len(shape) - 2
        w = {"layer.weight": data(name, "layer.weight", [cout, shape[-1]] + k)}
        if bias: w["layer.bias"] = data(name, "layer.bias", [cout])
        f = [None, F.conv1d, F.conv2d, F.conv3d][rank]
        cases[name] = layer_case(name, data(name, "input", shape), w, lambda x, w: f(x, w["layer.weight"], w.get("layer.bias"), stride, pad, dilation))
    conv("conv1d", [3, 17, 5], 7, [5], [2], [2], [1], True)
    conv("conv2d", [2, 9, 8, 6], 20, [3, 3], [1, 1], [1, 1], [1, 1], False)
    conv("conv2d strided", [2, 9, 8, 5], 33, [7, 5], [2, 3], [3, 1], [1, 1], True)
    conv("conv2d dilated", [2, 11, 10, 17], 4, [3, 2], [1, 2], [2, 0], [2, 3], False)
    conv("conv2d pointwise", [2, 6, 6, 16], 48, [1, 1], [2, 2], [0, 0], [1, 1], False)
    conv("conv3d", [2, 5, 6, 4, 3], 9, [3, 3, 2], [1, 2, 1], [1, 1, 1], [1, 1, 2], True)
    n = "linear"
    cases[n] = layer_case(n, data(n, "input", [6, 19]), {"layer.weight": data(n, "layer.weight", [33, 19]), "layer.bias": data(n, "layer.bias", [33])},
        lambda x, w: F.linear(x, w["layer.weight"], w["layer.bias"]))
    for n, shape, groups in (("norm", [4, 5, 6, 19], 1), ("norm in groups", [6, 3, 4, 8], 3), ("norm of vectors", [8, 33], 2), ("norm of volumes", [2, 3, 2, 3, 4], 1)):
        c = shape[-1]
        mean, var = torch.zeros(c, dtype=torch.float64), torch.ones(c, dtype=torch.float64)
        w = {"layer.weight": data(n, "layer.weight", [c]), "layer.bias": data(n, "layer.bias", [c])}
        def norm(x, w):
            parts, means, variances = [], [], []
            for part in x.chunk(groups):
                m, v = torch.zeros_like(mean), torch.ones_like(var)
                parts.append(F.batch_norm(part, m, v, w["layer.weight"], w["layer.bias"], True, 0.1, 1e-5))
                means.append(m); variances.append(v)
            mean.copy_(torch.stack(means).mean(0)); var.copy_(torch.stack(variances).mean(0))
            return torch.cat(parts)
        cases[n] = layer_case(n, data(n, "input", shape), w, norm, {"layer.running_mean": mean, "layer.running_var": var})
    for n, shape, k, s, p in (("pool1d", [2, 15, 4], [3], [2], [1]), ("pool2d", [2, 9, 8, 7], [3, 3], [2, 2], [1, 1]), ("pool3d", [2, 4, 5, 6, 3], [2, 3, 2], [2, 1, 2], [0, 1, 1])):
        f = [None, F.max_pool1d, F.max_pool2d, F.max_pool3d][len(k)]
        cases[n] = layer_case(n, data(n, "input", shape), {}, lambda x, w: f(x, k, s, p))
    n = "relu"; cases[n] = layer_case(n, data(n, "input", [3, 7, 5, 6]), {}, lambda x, w: F.relu(x))
    n = "mean"; cases[n] = layer_case(n, data(n, "input", [3, 7, 5, 6]), {}, lambda x, w: x.mean((2, 3)))
    n = "add"; cases[n] = layer_case(n, data(n, "input", [3, 7, 5, 6]), {}, lambda x, w: x + F.relu(x))
    n = "l2"; cases[n] = layer_case(n, data(n, "input", [5, 19]), {}, lambda x, w: F.normalize(x, dim=1))
    return cases

# --- networks: torchvision's ResNets with the representation after the pooling ---

NETWORKS = [  # name, arch, bands, stem, size, batch, zero_init
    ("r18 zero", "resnet18", 5, "imagenet", 64, 4, True), ("r18", "resnet18", 5, "imagenet", 64, 4, False),
    ("r18 paper", "resnet18", 3, "paper", 32, 2, False), ("r18 small zero", "resnet18", 1, "small", 24, 3, True),
    ("r34 zero", "resnet34", 5, "imagenet", 64, 2, True), ("r34", "resnet34", 5, "small", 32, 2, False),
    ("r50 zero", "resnet50", 5, "imagenet", 64, 4, True), ("r50", "resnet50", 5, "imagenet", 64, 4, False),
    ("r50 paper zero", "resnet50", 4, "paper", 32, 2, True),
]

def resnet(case, arch, bands, stem, zero):
    m = getattr(torchvision.models, arch)(weights=None)
    if stem == "imagenet": m.conv1 = nn.Conv2d(bands, 64, 7, 2, 3, bias=False)
    if stem == "paper": m.conv1 = nn.Conv2d(bands, 64, 7, 1, 3, bias=False); m.maxpool = nn.Identity()
    if stem == "small": m.conv1 = nn.Conv2d(bands, 64, 3, 1, 1, bias=False); m.maxpool = nn.Identity()
    m.fc = nn.Identity()
    m = m.double()
    with torch.no_grad():
        for name, p in m.named_parameters():
            if p.dim() > 1:
                p.copy_(between(math.sqrt(6 / (p.shape[0] * p[0, 0].numel())), p.shape, 7, "init", "encoder." + name))
        if zero:
            for b in m.modules():
                if isinstance(b, torchvision.models.resnet.Bottleneck): b.bn3.weight.zero_()
                if isinstance(b, torchvision.models.resnet.BasicBlock): b.bn2.weight.zero_()
    return m

def passes(m, x, g):
    m.zero_grad(); m.train()
    y = m(x); y.backward(g)
    return y.detach(), [p.grad.detach().clone() for p in m.parameters()]

def switched(make, x, g, y, grads, forward, draws=16):
    """The largest distance of gradients over draws of weights that are moved at random until outputs differ by forward."""
    generator = torch.Generator().manual_seed(1)
    def moved(by):
        m = make()
        with torch.no_grad():
            for p in m.parameters(): p.mul_(1 + by * (2 * torch.rand(p.shape, generator=generator, dtype=torch.float64) - 1))
        out, gr = passes(m, x, g)
        return float((out - y).norm() / y.norm()), math.sqrt(sum(float((a - b).norm()) ** 2 for a, b in zip(gr, grads)) / sum(float(b.norm()) ** 2 for b in grads))
    by = 2.0 ** -24
    by *= forward / moved(by)[0]
    return max(moved(by)[1] for _ in range(draws))

def networks():
    cases = {}
    for name, arch, bands, stem, size, batch, zero in NETWORKS:
        x = first(data(name, "input", [batch, size, size, bands]))
        m = resnet(name, arch, bands, stem, zero)
        g = data(name, "gradient", [batch, 2048 if arch == "resnet50" else 512])
        m32 = resnet(name, arch, bands, stem, zero).float()
        y, grads = passes(m, x, g)
        own = {"forward": 0.0, "gradient": 0.0}  # how far float32 may take it from float64: the larger of its two layouts,
        for fmt in (torch.contiguous_format, torch.channels_last):
            y32, grads32 = passes(m32.to(memory_format=fmt), x.float().contiguous(memory_format=fmt), g.float())
            f = float((y32 - y).norm() / y.norm())
            d = math.sqrt(sum(float((a - b).norm()) ** 2 for a, b in zip(grads32, grads)) / sum(float(b.norm()) ** 2 for b in grads))
            own = {"forward": max(own["forward"], f), "gradient": max(own["gradient"], d)}
            m32 = resnet(name, arch, bands, stem, zero).float()
        if not zero:  # and of float64 runs whose weights are moved until their outputs are as far off: units near zero switch
            own["gradient"] = max(own["gradient"], switched(lambda: resnet(name, arch, bands, stem, zero), x, g, y, grads, own["forward"]))
        out = {"out": summary(name, "out", y, 8)}
        for (k, p), v in zip(m.named_parameters(), grads):
            out["gradient " + k] = summary(name, "gradient " + k, v, 2)
        for k in ("bn1.running_mean", "bn1.running_var", "layer4.0.bn2.running_mean", "layer4.0.bn2.running_var"):
            out[k] = summary(name, k, m.state_dict()[k], 2)
        m.eval()
        with torch.no_grad(): out["inference"] = summary(name, "inference", m(x), 8)
        cases[name] = {"pytorch": own, "arrays": out}
        print(name, own)
    return cases

# --- MoCo: four states, one training step apart; each step starts at the float32 values of the state before ---

class Split(nn.BatchNorm2d):
    """Batch norm over two equal parts of the batch; running statistics move by the mean of the parts'."""
    def forward(self, x):
        if not self.training: return super().forward(x)
        parts, means, variances = [], [], []
        for part in x.chunk(2):
            m, v = self.running_mean.clone(), self.running_var.clone()
            parts.append(F.batch_norm(part, m, v, self.weight, self.bias, True, self.momentum, self.eps)); means.append(m); variances.append(v)
        self.running_mean = torch.stack(means).mean(0).detach(); self.running_var = torch.stack(variances).mean(0).detach()
        return torch.cat(parts)

class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        c = lambda i, o, k, s: nn.Conv2d(i, o, k, s, k // 2, bias=False)
        self.conv1, self.bn1 = c(3, 6, 3, 1), Split(6)
        self.a1, self.abn1, self.a2, self.abn2 = c(6, 6, 3, 1), Split(6), c(6, 6, 3, 1), Split(6)
        self.b1, self.bbn1, self.b2, self.bbn2 = c(6, 10, 3, 2), Split(10), c(10, 10, 3, 1), Split(10)
        self.down, self.dbn = c(6, 10, 1, 2), Split(10)
        self.fc1, self.fc2 = nn.Linear(10, 10), nn.Linear(10, 8)
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = F.relu(self.abn2(self.a2(F.relu(self.abn1(self.a1(x))))) + x)
        x = F.relu(self.bbn2(self.b2(F.relu(self.bbn1(self.b1(x))))) + self.dbn(self.down(x)))
        return F.normalize(self.fc2(F.relu(self.fc1(x.mean((2, 3))))), dim=1)

def engine_name(k): return "head.projector." + k if k.startswith("fc") else "encoder." + k

def write_safetensors(path, arrays):
    header, body = {}, b""
    for k in sorted(arrays):
        b = arrays[k].astype("<f4").tobytes()
        header[k] = {"dtype": "F32", "shape": list(arrays[k].shape), "data_offsets": [len(body), len(body) + len(b)]}; body += b
    h = json.dumps(header, separators=(",", ":")).encode(); h += b" " * (-len(h) % 8)
    with open(path, "wb") as f: f.write(struct.pack("<Q", len(h)) + h + body)

def moco():
    lr, mu, decay, m, t, batch = 0.05, 0.9, 1e-2, 0.9, 0.2, 8
    q, k = Tiny().double(), Tiny().double()
    with torch.no_grad():
        for name, p in q.named_parameters():
            p.copy_(data("moco", name, p.shape) * (0.4 if p.dim() > 1 else 0.1) + (1 if "bn" in name and "weight" in name else 0))
    k.load_state_dict(q.state_dict())
    velocity = {n: torch.zeros_like(p) for n, p in q.named_parameters()}
    states = {}
    def rounded():
        for net in (q, k):
            for b in list(net.parameters()) + list(net.buffers()): b.data = b.data.float().to(b.dtype) if b.is_floating_point() else b.data
        for n in velocity: velocity[n] = velocity[n].float().double()
    def record(s):
        rounded()
        for prefix, net in (("", q), ("momentum.", k)):
            for n, v in net.state_dict().items():
                if v.is_floating_point(): states[f"{s}/{prefix}{engine_name(n)}"] = v.numpy().copy()
        for n, v in velocity.items(): states[f"{s}/optimiser.{engine_name(n)}"] = v.numpy().copy()
    record(0)
    for s in range(3):
        xq, xk = (first(data("moco", f"{v}{s}", [batch, 8, 8, 3])) for v in "qk")
        queue = F.normalize(data("moco", f"queue{s}", [16, 8]), dim=1)
        zq = q(xq)
        with torch.no_grad():
            for a, b in zip(q.parameters(), k.parameters()): b.mul_(m).add_(a, alpha=1 - m)
            zk = k(xk)
        logits = torch.cat([(zq * zk).sum(1, keepdim=True), zq @ queue.T], 1) / t
        q.zero_grad(); F.cross_entropy(logits, torch.zeros(batch, dtype=torch.long)).backward()
        with torch.no_grad():
            for n, p in q.named_parameters():
                no_decay = p.dim() == 1
                velocity[n] = mu * velocity[n] + p.grad + (0 if no_decay else decay) * p
                p -= lr * velocity[n]
        record(s + 1)
    write_safetensors(os.path.join(HERE, "moco.safetensors"), states)

def compact(x):
    if isinstance(x, float): return float(f"{x:.12g}")
    if isinstance(x, dict): return {k: compact(v) for k, v in x.items()}
    if isinstance(x, list): return [compact(v) for v in x]
    return x

if __name__ == "__main__":
    for name, make in (("layers", layers), ("networks", networks)):
        with open(os.path.join(HERE, name + ".json"), "w") as f:
            text = json.dumps(compact(make()), separators=(",", ":"))
            f.write(text.replace('},"', '},\n"') + "\n")
    moco()
