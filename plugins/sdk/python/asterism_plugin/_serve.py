"""The services of the contract, on top of authors' components."""

import concurrent.futures
import os
import signal
import sys
import tempfile
import threading
import traceback

import grpc
import numpy as np
from google.protobuf import any_pb2

from . import _process
from . import asterism_pb2 as pb
from . import key
from .errors import ConfigError, FieldError, PluginError, ResourceError

API = 1  # version of the contract
MAX_MESSAGE = 16 << 20
ALIGN = 64
_LONGEST_ERROR = 4 << 10  # bytes: errors travel in a header

_DTYPES = {pb.F32: np.dtype("<f4"), pb.F64: np.dtype("<f8"), pb.U8: np.dtype("u1"), pb.I64: np.dtype("<i8")}
_NUMBERS = {d: n for n, d in _DTYPES.items()}


def view(tensor: pb.Tensor, write: bool = False) -> np.ndarray:
    """The values of a tensor: a view of shared memory, not a copy, which can be written only where the contract says so."""
    memory, writable = _process.arenas.memory(tensor.arena)
    if write and not writable:
        raise RuntimeError(f"the arena {tensor.arena} cannot be written")
    dtype = _DTYPES.get(tensor.dtype)
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


class _Room:
    """A slot as it is filled."""

    def __init__(self, slot: pb.Slot):
        self.memory, writable = _process.arenas.memory(slot.arena)
        if not writable or slot.offset % ALIGN or slot.offset + slot.size > len(self.memory):
            raise RuntimeError("the slot is not inside a writable arena")
        self.slot, self.at, self.end = slot, slot.offset, slot.offset + slot.size

    def put(self, values) -> "pb.Tensor | None":
        """Copies values into the slot; None when they do not fit."""
        values = np.asarray(values)
        if values.dtype not in _NUMBERS:
            raise TypeError(f"values of type {values.dtype}; they can be float32, float64, int64 or uint8")
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


def _arrays(answer):
    if isinstance(answer, dict):
        return [Array(name, values) for name, values in answer.items()]
    return list(answer or [])


def _named(tensors, write=False):
    return {n.name: view(n.tensor, write) for n in tensors}


def _given(tensors):
    return {n.name: Array(n.name, view(n.tensor), n.categories, n.fitted) for n in tensors}


class Sample:
    """One object on its way through an augmentation; pixels are channels-last.

    input: float32 [spatial…, bands], for reading. out: float32, to be filled. random: this draw's own source.
    facts: of the input. statistics: of the training split, one a band. column: what the plan reads. add: what the plan adds,
    to be filled.
    """

    __slots__ = ("input", "out", "random", "facts", "statistics", "column", "add")


class Batch:
    """A batch on its way through an augmentation that has apply_batch.

    input: float32 [batch, spatial…, bands], for reading. out: float32, to be filled. random(i): the source of sample i.
    column and add: float64 [batch] each.
    """

    __slots__ = ("input", "out", "facts", "statistics", "column", "add", "_key", "_epoch", "_samples")

    def __len__(self):
        return len(self._samples)

    def random(self, i: int) -> key.Source:
        """This draw's own source for sample i of the batch."""
        return self._key.at(self._epoch, self._samples[i])


class _LinkError(Exception):
    def __init__(self, position, error):
        self.position, self.error = position, error


class _Instance:
    def __init__(self, name, kind, value):
        self.name, self.kind, self.value = name, kind, value
        self.turn = threading.Lock()
        self.plan = self.catalogue = None


class Service:
    """Answers the host's calls with the author's components."""

    def __init__(self, name, version, components):
        self.name, self.version, self.components = name, version, components
        self.instances = {}
        self.networks = {}
        self.stopped = threading.Event()

    # What every plugin answers.

    def Describe(self, _):
        return manifest(self.name, self.version, self.components)

    def Configure(self, r):
        import json

        for c in self.components:
            if c.name == r.component:
                value = c.make(json.loads(r.config or b"{}"))
                self.instances[r.instance] = _Instance(f"{self.name}.{c.name}", c.kind, value)
                return pb.Configured()
        raise ConfigError(f"the plugin {self.name} has no component {r.component!r}")

    def Release(self, r):
        i = self.instances.pop(r.instance, None)
        if i is not None and hasattr(i.value, "close"):
            i.value.close()
        return pb.Released()

    def _find(self, id, kind) -> _Instance:
        i = self.instances.get(id)
        if i is None:
            raise RuntimeError(f"there is no instance {id}")
        if i.kind != kind:
            raise RuntimeError(f"{i.name} is of another kind")
        return i

    # dataset

    def Open(self, r):
        i = self._find(r.instance, pb.DATASET)
        with i.turn:
            if i.catalogue is None:
                c = i.value.open()
                if not isinstance(c, pb.Catalogue) or c.dtype not in (pb.U8, pb.F32) or not c.facts.shape:
                    raise TypeError("open must return a Catalogue with facts and pixels that are U8 or F32")
                if c.scale == 0:
                    c.scale = 1
                i.catalogue = c
        return i.catalogue

    def Read(self, r):
        i = self._opened(r.instance)
        if r.first + r.count > i.catalogue.count:
            raise RuntimeError(f"records {r.first} to {r.first + r.count} of {i.catalogue.count}")
        room, answer, size = _Room(r.slot), pb.Records(), 0
        for index in range(r.first, r.first + r.count):
            with i.turn:
                record = self._deliver(room, i.catalogue, i.value.read(index))
            if record is None:
                break
            record.index = index
            size += record.ByteSize() + 8
            if size > MAX_MESSAGE // 2 and answer.records:
                break
            answer.records.append(record)
        return answer

    def ReadFile(self, r):
        i = self._opened(r.instance)
        room = _Room(r.slot)
        with i.turn:
            record = self._deliver(room, i.catalogue, i.value.read_file(r.path))
        return pb.Records(records=[] if record is None else [record])

    def _opened(self, id):
        i = self._find(id, pb.DATASET)
        if i.catalogue is None:
            raise RuntimeError(f"{i.name} was not opened")
        return i

    @staticmethod
    def _deliver(room, catalogue, record):
        m = pb.Record(id=record.id, bad=record.bad)
        if record.bad:
            return m
        pixels = np.ascontiguousarray(record.pixels)
        if pixels.dtype != _DTYPES[catalogue.dtype] or pixels.size == 0:
            raise TypeError(f"{record.id} has pixels of type {pixels.dtype} and shape {pixels.shape}, and the catalogue says {_DTYPES[catalogue.dtype]}")
        if len(record.values) != len(catalogue.fields):
            raise ValueError(f"{record.id} has {len(record.values)} values for {len(catalogue.fields)} fields")
        for field, value in zip(catalogue.fields, record.values):
            if value is None or value != value:
                m.values.append(pb.Value(missing=True))
            elif field.type == pb.Field.NUMBER:
                m.values.append(pb.Value(number=float(value)))
            elif isinstance(value, str):
                m.values.append(pb.Value(text=value))
            else:
                raise TypeError(f"{record.id} has {value!r} for {field.name}, which is text")
        tensor = room.put(pixels)
        if tensor is None:
            return None
        m.pixels.CopyFrom(tensor)
        return m

    # augmentation

    def AugmentationPlan(self, r):
        i = self._find(r.instance, pb.AUGMENTATION)
        facts = pb.SampleFacts()
        facts.CopyFrom(r.facts)
        plan = i.value.plan(facts)
        if isinstance(plan, pb.SampleFacts):
            plan = pb.AugmentationPlan(leaves=plan)
        if not isinstance(plan, pb.AugmentationPlan) or not plan.leaves.shape or min(plan.leaves.shape) < 1:
            raise TypeError("plan must return the facts of what it leaves, or an AugmentationPlan")
        i.plan = plan
        return plan

    def Apply(self, r):
        n = len(r.samples)
        if not r.chain or len(getattr(r, "in").shape) < 2 or getattr(r, "in").shape[0] != n or r.out.shape[0] != n:
            raise RuntimeError("a batch whose shapes do not belong together")
        source, out = view(getattr(r, "in")), view(r.out, write=True)
        columns, added = _named(r.columns), _named(r.added, write=True)
        for position, link in enumerate(r.chain, 1):
            i = self._find(link.instance, pb.AUGMENTATION)
            if i.plan is None:
                raise RuntimeError(f"{i.name} was not planned")
            shape = (n, *i.plan.leaves.shape)
            into = out if position == len(r.chain) else np.empty(shape, np.float32)
            if into.shape != shape:
                raise RuntimeError(f"{i.name} leaves samples of shape {shape[1:]}, the host expects {into.shape[1:]}")
            if n:
                try:
                    self._link(i, link, r, source, into, columns, added)
                except Exception as e:
                    raise _LinkError(position, e) from e
            source = into
        return pb.Applied()

    @staticmethod
    def _link(i, link, r, source, into, columns, added):
        reads = {name: columns[name] if name in columns else added[name] for name in i.plan.columns}
        adds = {f.name: added[f.name] for f in i.plan.adds}
        stream = key.Key(r.seed, "view", r.view, link.path)
        if hasattr(i.value, "apply_batch"):
            b = Batch()
            b.input, b.out, b.facts, b.statistics, b.column, b.add = source, into, link.facts, link.statistics, reads, adds
            b._key, b._epoch, b._samples = stream, r.epoch, r.samples
            for values in adds.values():
                values[...] = np.nan
            i.value.apply_batch(b)
            return
        s = Sample()
        s.facts, s.statistics = link.facts, link.statistics
        for k, id in enumerate(r.samples):
            s.input, s.out, s.random = source[k], into[k], stream.at(r.epoch, id)
            s.column = {name: float(values[k]) for name, values in reads.items()}
            s.add = {name: np.nan for name in adds}
            i.value.apply(s)
            for name, values in adds.items():
                values[k] = s.add[name]

    # encoder

    def Build(self, r):
        return self._find(r.instance, pb.ENCODER).value.describe(list(r.input))

    # objective

    def ObjectivePlan(self, r):
        i = self._find(r.instance, pb.OBJECTIVE)
        with i.turn:
            return i.value.plan(r)

    def Loss(self, r):
        i = self._find(r.instance, pb.OBJECTIVE)
        with i.turn:
            answer = i.value.loss(r.step, _named(r.taps), _named(r.gradients, write=True), _named(r.labels))
        return answer if isinstance(answer, pb.LossAnswer) else pb.LossAnswer(loss=float(answer))

    def State(self, r):
        i = self._find(r.instance, pb.OBJECTIVE)
        with i.turn:
            return pb.StateAnswer(tensors=_Room(r.slot).arrays(i.value.state() if hasattr(i.value, "state") else {}, "Program.state_bytes"))

    def SetState(self, r):
        i = self._find(r.instance, pb.OBJECTIVE)
        with i.turn:
            if hasattr(i.value, "set_state"):
                i.value.set_state({name: values.copy() for name, values in _named(r.tensors).items()})
        return pb.StateSet()

    # task

    def Needs(self, r):
        return self._find(r.instance, pb.TASK).value.needs(r)

    def Fit(self, r):
        i = self._find(r.instance, pb.TASK)
        weights = view(r.weights) if r.HasField("weights") else None
        state = i.value.fit(view(r.x), _named(r.labels), weights, r.seed, np.array(r.samples, np.uint64))
        return pb.FitAnswer(state=_Room(r.slot).arrays(state, "TaskNeeds.state_bytes"))

    def Predict(self, r):
        i = self._find(r.instance, pb.TASK)
        columns = i.value.predict(_given(r.state), view(r.x))
        return pb.PredictAnswer(columns=_Room(r.slot).arrays(columns, "TaskNeeds.prediction_bytes"))

    def Score(self, r):
        i = self._find(r.instance, pb.TASK)
        return i.value.score(_given(r.predictions), _named(r.labels), _named(r.fit_labels))

    # engine: a component's compile gives a network, which answers the calls that name it.

    def Report(self, r):
        return self._find(r.instance, pb.ENGINE).value.report()

    def Compile(self, r):
        i = self._find(r.instance, pb.ENGINE)
        network = i.value.compile(r, _named(r.inputs), _named(r.outputs, write=True), _named(r.gradients))
        self.networks[r.network] = network
        return pb.Compiled(bytes=int(getattr(network, "bytes", 0)))

    def _network(self, id):
        network = self.networks.get(id)
        if network is None:
            raise RuntimeError(f"there is no network {id}")
        return network

    def Forward(self, r):
        self._network(r.network).forward(getattr(r, "pass"), r.samples, r.step)
        return pb.Forwarded()

    def Backward(self, r):
        self._network(r.network).backward(getattr(r, "pass"))
        return pb.BackwardDone()

    def Step(self, r):
        return pb.StepAnswer(not_finite=self._network(r.network).step(r.lr, r.momentum, r.weight_decay, r.encoder) or "")

    def Momentum(self, r):
        self._network(r.network).update_momentum(r.m)
        return pb.MomentumDone()

    def EngineRead(self, r):
        self._network(r.network).read(_named(r.arrays, write=True))
        return pb.ArraysDone()

    def EngineWrite(self, r):
        self._network(r.network).write(_named(r.arrays))
        return pb.ArraysDone()

    def Drop(self, r):
        network = self.networks.pop(r.network, None)
        if hasattr(network, "close"):
            network.close()
        return pb.Dropped()


# Where two services have a call of one name, the method has the service's before it.
_METHODS = {("Augmentation", "Plan"): "AugmentationPlan", ("Objective", "Plan"): "ObjectivePlan", ("Engine", "Read"): "EngineRead", ("Engine", "Write"): "EngineWrite"}


def manifest(name, version, components) -> pb.Description:
    """What the plugin says of itself."""
    d = pb.Description(name=name, version=version, api=API)
    for c in components:
        d.components.add(name=c.name, kind=c.kind, revision=c.revision, schema=c.schema, summary=c.summary)
    return d


def _fault(error: Exception) -> pb.Fault:
    f = pb.Fault()
    if isinstance(error, _LinkError):
        f.link, error = error.position, error.error
    if isinstance(error, PluginError):
        f.cause, f.what, f.advice = error.cause, error.what, error.advice
        if isinstance(error, FieldError):
            f.field = error.field
    elif isinstance(error, MemoryError):
        f.cause, f.what = ResourceError.cause, "memory is short"
    else:
        f.what = f"{type(error).__name__}: {error}"
        f.trace = "".join(traceback.format_exception(error))
    for field in ("what", "advice", "trace"):
        text = getattr(f, field).encode(errors="replace")
        if len(text) > _LONGEST_ERROR:
            keep = text[-_LONGEST_ERROR:] if field == "trace" else text[:_LONGEST_ERROR]
            setattr(f, field, keep.decode(errors="ignore"))
    return f


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    size, n = b"", len(payload)
    while n > 0x7F:
        size, n = size + bytes([n & 0x7F | 0x80]), n >> 7
    return bytes([number << 3 | 2]) + size + bytes([n]) + payload


def _status(error: Exception) -> bytes:
    """A google.rpc.Status of code UNKNOWN with the fault as its detail."""
    detail = any_pb2.Any()
    detail.Pack(_fault(error))
    return b"\x08\x02" + _field(2, b"the component failed") + _field(3, detail.SerializeToString())


def _handler(f, request):
    def call(message, context):
        try:
            return f(message)
        except Exception as e:
            context.set_trailing_metadata((("grpc-status-details-bin", _status(e)),))
            context.abort(grpc.StatusCode.UNKNOWN, "the component failed")

    return grpc.unary_unary_rpc_method_handler(call, request.FromString, lambda m: m.SerializeToString())


def _handlers(service: Service):
    for s in pb.DESCRIPTOR.services_by_name.values():
        methods = {}
        for m in s.methods:
            request = getattr(pb, m.input_type.name)
            methods[m.name] = _handler(getattr(service, _METHODS.get((s.name, m.name), m.name)), request)
        yield grpc.method_handlers_generic_handler(s.full_name, methods)

    # What go-plugin asks of every plugin: is it well, and, at the end, that it stops. Both messages are empty or of one byte.
    def shutdown(_, context):
        context.add_callback(service.stopped.set)
        return b""

    raw = {"request_deserializer": bytes, "response_serializer": bytes}
    yield grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown, **raw)})
    yield grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(lambda *_: b"\x08\x01", **raw)})


def run(name, version, components):
    """Serves the components until the host closes or dies."""
    service = Service(name, version, components)
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1) + 2),
        handlers=tuple(_handlers(service)),
        options=[("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE), ("grpc.so_reuseport", 0)],
    )
    folder = tempfile.mkdtemp(prefix="plugin-dir", dir=os.environ.get("PLUGIN_UNIX_SOCKET_DIR"))
    path = os.path.join(folder, "plugin")
    server.add_insecure_port("unix:" + path)
    server.start()
    print(f"1|{API}|unix|{path}|grpc", file=_process.stdout, flush=True)
    _process.stdout.close()
    signal.signal(signal.SIGTERM, lambda *_: service.stopped.set())
    service.stopped.wait()
    server.stop(0.2).wait()
    sys.stdout.flush()
    os._exit(0)
