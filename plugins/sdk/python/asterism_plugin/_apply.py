"""Augmentations: a batch on its way through a chain of them."""

import math

import numpy as np

from . import asterism_pb2 as pb
from . import key
from ._tensors import named, view


class Sample:
    """One object on its way through an augmentation; pixels are channels-last.

    input: float32 [spatial…, bands], for reading. out: float32, to be filled. random: this draw's own source.
    facts: of the input. statistics: of the training split, one a band. column: what the plan reads. add: what the plan adds,
    to be filled. All of it belongs to this call: keep nothing of it.
    """

    __slots__ = ("input", "out", "facts", "statistics", "column", "add", "_key", "_epoch", "_id", "_source")

    def __init__(self, key: key.Key, epoch: int = 0, id: int = 0):
        self._key, self._epoch, self._id, self._source = key, epoch, id, None
        self.statistics, self.column, self.add = (), {}, {}

    @property
    def random(self) -> key.Source:
        if self._source is None:
            self._source = self._key.at(self._epoch, self._id)
        return self._source


class Batch:
    """A batch on its way through an augmentation that has apply_batch.

    input: float32 [batch, spatial…, bands], for reading. out: float32, to be filled. column and add: float64 [batch] each.
    What comes out for a sample must not depend on the others, nor on how many there are.
    """

    __slots__ = ("input", "out", "facts", "statistics", "column", "add", "_key", "_epoch", "_samples", "_sources")

    def __init__(self, key: key.Key, epoch: int, ids):
        self._key, self._epoch, self._samples, self._sources = key, epoch, ids, None
        self.statistics, self.column, self.add = (), {}, {}

    def __len__(self):
        return len(self._samples)

    def random(self, i: int) -> key.Source:
        """This draw's own source for sample i of the batch, from its beginning."""
        return self._key.at(self._epoch, self._samples[i])

    @property
    def sources(self) -> key.Sources:
        """The sources of all samples, drawn together: sources.uniforms(n) and sources.normals(n) are [batch, n]."""
        if self._sources is None:
            self._sources = self._key.all(self._epoch, self._samples)
        return self._sources


class LinkError(Exception):
    """Which link of a chain failed, from 1, and with what."""

    def __init__(self, position, error):
        self.position, self.error = position, error


class Rooms:
    """Room for what is between two links: two buffers for each call that runs, which last from call to call."""

    def __init__(self):
        self._free = []

    def take(self):
        try:
            return self._free.pop()
        except IndexError:
            return [np.empty(0, np.float32), np.empty(0, np.float32)]

    def give(self, pair):
        self._free.append(pair)


def chain(r, instances, rooms: Rooms) -> pb.Applied:
    """Takes the batch of an ApplyRequest through its chain. instances are those of its links."""
    n, given = len(r.samples), getattr(r, "in")
    if not r.chain or list(given.shape) != [n, *r.chain[0].facts.shape] or len(given.shape) < 2 or not r.out.shape or r.out.shape[0] != n:
        raise RuntimeError("a batch whose shapes do not belong together")
    source, out = view(given, dtype=pb.F32), view(r.out, True, pb.F32)
    columns, added = named(r.columns, dtype=pb.F64, rows=n), named(r.added, True, pb.F64, n)
    shapes = []
    for i, after in zip(instances, [*(link.facts.shape for link in r.chain[1:]), r.out.shape[1:]]):
        if i.plan is None:
            raise RuntimeError(f"{i.name} was not planned")
        if list(i.plan.leaves.shape) != list(after):
            raise RuntimeError(f"{i.name} leaves samples of shape {list(i.plan.leaves.shape)}, the host expects {list(after)}")
        shapes.append((n, *after))
    between = rooms.take()
    try:
        for position, (i, link, shape) in enumerate(zip(instances, r.chain, shapes)):
            into = out if position + 1 == len(r.chain) else _room(between, position % 2, shape)
            if n:
                try:
                    _link(i, link, r, source, into, columns, added)
                except BaseException as e:
                    raise LinkError(position + 1, e) from e
            source = into.view()
            source.flags.writeable = False
    finally:
        rooms.give(between)
    # Extremes are as good as all values, need no room, and are cheaper here than the look that the host would take.
    return pb.Applied(finite=out.size == 0 or bool(np.isfinite(out.min()) and np.isfinite(out.max())))


def _room(pair, which: int, shape) -> np.ndarray:
    size = math.prod(shape)
    if len(pair[which]) < size:
        pair[which] = np.empty(size, np.float32)
    return pair[which][:size].reshape(shape)


def _link(i, link, r, source, into, columns, added):
    reads = {name: columns[name] if name in columns else added[name] for name in i.plan.columns}
    adds = {f.name: added[f.name] for f in i.plan.adds}
    stream = key.Key(r.seed, "view", r.view, link.path)
    if hasattr(i.value, "apply_batch"):
        b = Batch(stream, r.epoch, r.samples)
        b.input, b.out, b.facts, b.statistics, b.column, b.add = source, into, link.facts, link.statistics, reads, dict(adds)
        for values in adds.values():
            values[...] = np.nan
        i.value.apply_batch(b)
        _fill(into, b.out, "out")
        for name, values in adds.items():
            _fill(values, b.add[name], f"add[{name!r}]")
        return
    s = Sample(stream, r.epoch)
    s.facts, s.statistics = link.facts, link.statistics
    for k, (s.input, out, s._id) in enumerate(zip(source, into, r.samples)):
        s.out, s._source = out, None
        s.column = {name: float(values[k]) for name, values in reads.items()}
        s.add = {name: np.nan for name in adds}
        i.value.apply(s)
        _fill(out, s.out, "out")
        for name, values in adds.items():
            values[k] = s.add[name]


def _fill(into, given, what: str):
    """Takes over what an author has put in the place of an array that was to be filled."""
    if given is into:
        return
    if np.shape(given) != into.shape:
        raise ValueError(f"{what} has the shape {np.shape(given)}, not {into.shape}")
    into[...] = given
