"""Goldens of networks from PyTorch in float64, for package enginetest; imported by the golden.py of each encoder.

Inputs, weights and the vectors onto which results are projected are uniforms of Philox4x32-10, keyed as core/key does, so
that Go and Python draw the same bits and a file holds norms and projections only. An array's values 2i and 2i+1 are the
first two draws at counter (0, i) of the key (1, purpose, names...).
"""
import copy, hashlib, json, math, struct
import numpy as np
import torch

torch.manual_seed(0); torch.set_num_threads(2)

def philox(counter, key):
    """Ten rounds of Philox4x32 over arrays of uint64 that hold 32-bit words."""
    c = [x.astype(np.uint64) for x in counter]; k0, k1 = key
    mask = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & mask, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c

def uniforms(n, purpose, *path):
    """n uniforms over ±1, float64."""
    h = hashlib.sha256(b"".join(s.encode() + b"\0" for s in ("1", purpose) + path)).digest()
    i = np.arange((n + 1) // 2, dtype=np.uint64); zero = np.zeros_like(i)
    b = philox([zero, zero, i & np.uint64(0xFFFFFFFF), i >> np.uint64(32)], struct.unpack("<II", h[:8]))
    u = np.empty(2 * len(i))
    u[0::2] = ((b[0] | b[1] << np.uint64(32)) >> np.uint64(11)).astype(np.float64) * 2.0 ** -53
    u[1::2] = ((b[2] | b[3] << np.uint64(32)) >> np.uint64(11)).astype(np.float64) * 2.0 ** -53
    return -1 + 2 * u[:n]

def drawn(case, name, shape, centre=0.0, bound=1.0):
    """float32 values within bound of centre."""
    u = centre + bound * uniforms(int(np.prod(shape)), "golden", case, name)
    return torch.from_numpy(u.astype(np.float32).astype(np.float64).reshape(shape))

def weight(case, name, shape, small):
    """A trained parameter: the scale of a norm lies about 1, any other vector about 0, a matrix has the variance 1/fan in.
    What ends a residual branch, named by the endings in small, lies about 0 and is ten times smaller."""
    shape = tuple(shape)
    ends = any(name.endswith(s) for s in small)
    if math.prod(shape) == max(shape):
        return drawn(case, name, shape, 0.0 if ends or not name.endswith("weight") else 1.0, 0.1)
    return drawn(case, name, shape, 0.0, math.sqrt(3 / math.prod(shape[1:])) * (0.1 if ends else 1.0))

def summary(case, name, t, projections):
    """[norm, projections...]"""
    v = t.detach().double().contiguous().numpy().reshape(-1)
    return [float(f"{x:.9g}") for x in [np.linalg.norm(v)] + [v @ uniforms(v.size, "projection", case, name, str(j)) for j in range(projections)]]

def last(x):   # channels first -> channels last
    return x.permute(0, *range(2, x.dim()), 1) if x.dim() > 2 else x
def first(x):  # channels last -> channels first
    return x.permute(0, x.dim() - 1, *range(1, x.dim() - 1)) if x.dim() > 2 else x

def case(name, net, shape, small=()):
    """The golden of net, from samples (channels first) to representations, for a batch of samples of shape (channels last)."""
    net = net.double()
    with torch.no_grad():
        for k, p in net.named_parameters(): p.copy_(weight(name, k, p.shape, small))
    x = first(drawn(name, "input", shape))
    net.train()
    y = net(x)
    y.backward(drawn(name, "gradient", y.shape))
    out = {"input": list(shape), "small": list(small), "out": summary(name, "out", y, 8)}
    out["gradients"] = {k: summary(name, "gradient " + k, p.grad, 2) for k, p in net.named_parameters()}
    print(name, "float32 differs by %.1e forward, %.1e in gradients" % low(name, net, x, y, False))
    out["bfloat16"] = [float(f"{d:.2g}") for d in low(name, net, x, y, True)]
    net.eval()
    with torch.no_grad(): out["inference"] = summary(name, "inference", net(x), 8)
    return out

def low(name, net, x, y, half):
    """How far PyTorch's own float32, or its bfloat16 by autocast, is from its float64: forward and in gradients."""
    other = copy.deepcopy(net).float()
    other.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in net.state_dict().items()}); other.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half): z = other(x.float())
    z.backward(drawn(name, "gradient", y.shape).to(z.dtype))
    d = sum(float((a.grad - b.grad).norm()) ** 2 for a, b in zip(other.parameters(), net.parameters()))
    return float((z - y).norm() / y.norm()), math.sqrt(d / sum(float(b.grad.norm()) ** 2 for b in net.parameters()))

plain = torch.nn.functional.layer_norm
def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):  # autocast leaves weights of another type than the input
    return plain(x, shape, *(v if v is None else v.to(x.dtype) for v in (weight, bias)), eps)
torch.nn.functional.layer_norm = layer_norm

def whole(net):
    """What a network at its full size must have: the number of trained values, and a digest of names and shapes."""
    lines = sorted(f"{k} {list(v.shape)}\n".replace(",", "") for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked"))
    return {"parameters": sum(p.numel() for p in net.parameters()), "digest": hashlib.sha256("".join(lines).encode()).hexdigest()[:16]}

def write(path, wholes, cases):
    with open(path, "w") as f:
        f.write(json.dumps({"whole": wholes, "cases": cases}, separators=(",", ":")).replace('],"', '],\n"').replace('},"', '},\n"') + "\n")
