"""Tensors in the memory that the host shares, as authors see them."""

import numpy as np

from . import _process
from . import asterism_pb2 as pb

ALIGN = 64

DTYPES = {pb.F32: np.dtype("<f4"), pb.F64: np.dtype("<f8"), pb.U8: np.dtype("u1"), pb.I64: np.dtype("<i8")}
_NUMBERS = {d: n for n, d in DTYPES.items()}


def view(tensor: pb.Tensor, write: bool = False, dtype: "int | None" = None) -> np.ndarray:
    """The values of a tensor: a view of shared memory, not a copy, which can be written only where the contract says so.
    dtype, if given, is what the contract promises."""
    if dtype is not None and tensor.dtype != dtype:
        raise RuntimeError(f"a tensor of type {tensor.dtype}, not {dtype}")
    memory, writable = _process.arenas.memory(tensor.arena)
    if write and not writable:
        raise RuntimeError(f"the arena {tensor.arena} cannot be written")
    dtype = DTYPES.get(tensor.dtype)
    shape = tuple(tensor.shape)
    if dtype is None or any(n < 0 for n in shape):
        raise RuntimeError(f"a tensor of type {tensor.dtype} and shape {shape}")
    count = 1
    for n in shape:
        count *= n
    if tensor.offset % ALIGN or tensor.offset + count * dtype.itemsize > len(memory):
        raise RuntimeError("a tensor outside of its arena")
    if count == 0:
        return np.empty(shape, dtype)
    values = np.frombuffer(memory, dtype, count, tensor.offset).reshape(shape)
    values.flags.writeable = write
    return values


class Array:
    """A named array of a task's or an objective's state, or of a prediction, and what its values mean.

    categories: a list of names, where the values are indices into it. fitted: the values are rows of what fit was given.
    """

    def __init__(self, name, values, categories=(), fitted=False):
        self.name, self.values, self.categories, self.fitted = name, values, list(categories), fitted


class Room:
    """A slot as it is filled."""

    def __init__(self, slot: pb.Slot):
        self.memory, writable = _process.arenas.memory(slot.arena)
        if not writable or slot.offset % ALIGN or slot.offset + slot.size > len(self.memory):
            raise RuntimeError("the slot is not inside a writable arena")
        self.slot, self.at, self.end = slot, slot.offset, slot.offset + slot.size

    def put(self, values) -> "pb.Tensor | None":
        """Copies values into the slot; None when they do not fit."""
        values = _storable(values)
        start = -(-self.at // ALIGN) * ALIGN
        if start + values.nbytes > self.end:
            return None
        tensor = pb.Tensor(arena=self.slot.arena, offset=start, dtype=_NUMBERS[values.dtype], shape=values.shape)
        if values.size:
            np.frombuffer(self.memory, values.dtype, values.size, start).reshape(values.shape)[...] = values
        self.at = start + values.nbytes
        return tensor

    def arrays(self, answer, promised: str):
        """Copies an author's answer, {name: values} or Arrays, into the slot."""
        named = []
        for a in _arrays(answer):
            tensor = self.put(a.values)
            if tensor is None:
                raise RuntimeError(f"the array {a.name!r} does not fit: the answer is larger than {promised} said")
            named.append(pb.NamedTensor(name=a.name, tensor=tensor, categories=a.categories, fitted=a.fitted))
        return named


def _storable(values) -> np.ndarray:
    """Values as an array of a type that the contract has: another one that fits into it without loss is brought there."""
    values = np.asarray(values)
    dtype = values.dtype.newbyteorder("=")
    for wanted in () if dtype in _NUMBERS else (np.uint8, np.int64, np.float32, np.float64) if dtype.kind in "biuf" else ():
        if np.can_cast(dtype, wanted):
            dtype = np.dtype(wanted)
            break
    if dtype not in _NUMBERS:
        raise TypeError(f"values of type {values.dtype}; they can be float32, float64, int64 or uint8")
    return values.astype(dtype, copy=False)


def _arrays(answer):
    if isinstance(answer, dict):
        return [Array(name, values) for name, values in answer.items()]
    answer = list(answer or [])
    for a in answer:
        if not isinstance(a, Array):
            raise TypeError(f"{a!r} is no Array: answer with {{name: values}} or a list of Arrays")
    return answer


def named(tensors, write=False, dtype=None, rows=None):
    named = {n.name: view(n.tensor, write, dtype) for n in tensors}
    for name, values in named.items():
        if rows is not None and values.shape != (rows,):
            raise RuntimeError(f"the column {name!r} is not one number a sample")
    return named


def given(tensors):
    return {n.name: Array(n.name, view(n.tensor), n.categories, n.fitted) for n in tensors}
