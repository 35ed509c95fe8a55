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
