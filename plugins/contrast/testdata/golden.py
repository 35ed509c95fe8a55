"""Losses and gradients of MoCo v2 and SimCLR by PyTorch's autograd in float64, for contrast_test.go.

    python3 golden.py > golden.json

Embeddings come from a formula that the Go test repeats; only the answers are stored.
"""
import json
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def unit(rows, dim, phase):
    i, j = torch.meshgrid(torch.arange(rows), torch.arange(dim), indexing="ij")
    x = torch.sin(1.3 * i + 0.7 * j + 0.05 * i * j + phase).float()
    return F.normalize(x, dim=1).double()


def leaf(x):
    return x.clone().requires_grad_(True)


moco = []
for batch, queue_len, dim, t, symmetric, steps in ((4, 12, 5, 0.2, False, 4), (6, 24, 16, 0.07, False, 2), (3, 12, 8, 0.1, True, 3)):
    queue = unit(queue_len, dim, 9.0)
    pointer = 0
    record = []
    for step in range(steps):
        q = [leaf(unit(batch, dim, 0.1 + step))] + ([leaf(unit(batch, dim, 0.3 + step))] if symmetric else [])
        k = [unit(batch, dim, 0.2 + step)] + ([unit(batch, dim, 0.4 + step)] if symmetric else [])
        loss = 0
        for a, b in zip(q, k):
            logits = torch.cat([(a * b).sum(1, keepdim=True), a @ queue.T], 1) / t
            loss = loss + F.cross_entropy(logits, torch.zeros(batch, dtype=torch.long))
        loss.backward()
        for b in k:
            queue[pointer:pointer + batch] = b
            pointer = (pointer + batch) % queue_len
        record.append(dict(loss=loss.item(), gradients=[a.grad.ravel().tolist() for a in q]))
    moco.append(dict(batch=batch, queue=queue_len, dim=dim, temperature=t, symmetric=symmetric, steps=record,
                     left=queue.ravel().tolist(), pointer=pointer))

simclr = []
for batch, dim, t in ((2, 3, 0.5), (5, 8, 0.1), (17, 32, 0.2)):
    a, b = leaf(unit(batch, dim, 0.1)), leaf(unit(batch, dim, 0.2))
    z = torch.cat([a, b])
    s = z @ z.T / t
    s = s.masked_fill(torch.eye(2 * batch, dtype=torch.bool), float("-inf"))
    target = (torch.arange(2 * batch) + batch) % (2 * batch)
    loss = F.cross_entropy(s, target)
    loss.backward()
    simclr.append(dict(batch=batch, dim=dim, temperature=t, loss=loss.item(), first=a.grad.ravel().tolist(), second=b.grad.ravel().tolist()))


def rounded(x):
    if isinstance(x, float):
        return float("%.9g" % x)
    if isinstance(x, list):
        return [rounded(v) for v in x]
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    return x


print(json.dumps(rounded(dict(moco=moco, simclr=simclr))))
