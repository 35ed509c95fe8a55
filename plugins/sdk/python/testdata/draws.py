"""Prints draws for the keys that stand on standard input, one JSON list of seed, purpose, path, epoch and sample a line."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

from asterism_plugin import key  # noqa: E402

for line in sys.stdin:
    seed, purpose, path, epoch, sample = json.loads(line)
    k = key.Key(seed, purpose, *path)
    one, many = k.at(epoch, sample), k.at(epoch, sample)
    draws = [one.uniform() for _ in range(11)]
    many_draws = [*many.uniforms(4), *many.uniforms(0), *many.uniforms(7)]
    assert draws == many_draws, (draws, many_draws)
    assert one.uint32() == many.uint32s(1)[0]
    a, b = k.at(epoch, sample), k.at(epoch, sample)
    singles, together = [a.normal() for _ in range(9)], [*b.normals(3), *b.normals(6)]
    assert max(abs(x - y) for x, y in zip(singles, together)) < 1e-14
    rest = k.at(epoch, sample)
    print(json.dumps({"uniforms": [d.hex() for d in draws], "normals": singles, "integers": [rest.integer(n) for n in (1, 2, 7, 2**31 + 1, 2**32 - 1)], "shuffle": rest.shuffle(9).tolist(), "sample": key.sample(purpose)}))

# Drawn together, each sample draws what it draws alone, whatever the batch.
k = key.Key(3, "view", "acme.draw/0")
ids = [0, 1, 2**32 - 1, 2**32, 2**64 - 1, *range(5, 69)]
for draw in ("uniforms", "normals"):
    for counts in ((1,), (3, 2), (5, 1, 4), (41, 0, 400)):
        together = k.all(2**32 + 7, ids)
        drawn = [getattr(together, draw)(n) for n in counts]
        for i, id in enumerate(ids):
            alone, single = k.at(2**32 + 7, id), k.all(2**32 + 7, [id])
            for n, d in zip(counts, drawn):
                assert d.shape == (len(ids), n)
                assert d[i].tobytes() == getattr(alone, draw)(n).tobytes(), (draw, counts, i)
                assert d[i].tobytes() == getattr(single, draw)(n).tobytes(), (draw, counts, i)
together, alone = k.all(1, ids), k.at(1, ids[9])
for n in (7, 6, 3):
    assert together.uint32s(n)[9].tolist() == alone.uint32s(n).tolist()
