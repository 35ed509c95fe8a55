"""The services of the contract, on top of authors' components."""

import concurrent.futures
import json
import os
import sys
import threading

import grpc
import numpy as np

from . import Record, _process
from . import asterism_pb2 as pb
from ._apply import Rooms, chain
from ._faults import status
from ._tensors import DTYPES, Room, given, named, view
from .errors import ConfigError

API = 1  # version of the contract
MAX_MESSAGE = 16 << 20


class _Unimplemented(Exception):
    """A call that a component does not know, and need not."""


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
        self.rooms = Rooms()
        self.stopped = threading.Event()

    # What every plugin answers.

    def Describe(self, _):
        return manifest(self.name, self.version, self.components)

    def Configure(self, r):
        for c in self.components:
            if c.name == r.component:
                config = json.loads(r.config or b"{}")
                if not isinstance(config, dict):
                    raise ConfigError("the configuration is no struct")
                value = c.make(config)
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
        room, answer, size = Room(r.slot), pb.Records(), 0
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
        if not hasattr(self._find(r.instance, pb.DATASET).value, "read_file"):
            raise _Unimplemented("its records are no files of their own")
        i = self._opened(r.instance)
        room = Room(r.slot)
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
        if not isinstance(record, Record):
            raise TypeError(f"read gave {type(record).__name__}, not a Record")
        m = pb.Record(id=record.id, bad=record.bad)
        if record.bad:
            return m
        pixels, wanted = np.asarray(record.pixels), DTYPES[catalogue.dtype]
        if pixels.dtype.newbyteorder("=") != wanted or pixels.size == 0:
            raise TypeError(f"{record.id} has pixels of type {pixels.dtype} and shape {pixels.shape}, and the catalogue says {wanted}")
        if len(record.values) != len(catalogue.fields):
            raise ValueError(f"{record.id} has {len(record.values)} values for {len(catalogue.fields)} fields")
        for field, value in zip(catalogue.fields, record.values):
            try:
                m.values.append(_value(field, value))
            except (TypeError, ValueError):
                raise TypeError(f"{record.id} has {value!r} for {field.name}, which is {'a number' if field.type == pb.Field.NUMBER else 'text'}") from None
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
        return chain(r, [self._find(link.instance, pb.AUGMENTATION) for link in r.chain], self.rooms)

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
            answer = i.value.loss(r.step, named(r.taps), named(r.gradients, write=True), named(r.labels))
        return answer if isinstance(answer, pb.LossAnswer) else pb.LossAnswer(loss=float(answer))

    def State(self, r):
        i = self._find(r.instance, pb.OBJECTIVE)
        with i.turn:
            return pb.StateAnswer(tensors=Room(r.slot).arrays(i.value.state() if hasattr(i.value, "state") else {}, "Program.state_bytes"))

    def SetState(self, r):
        i = self._find(r.instance, pb.OBJECTIVE)
        with i.turn:
            if hasattr(i.value, "set_state"):
                i.value.set_state({name: values.copy() for name, values in named(r.tensors).items()})
        return pb.StateSet()

    # task

    def Needs(self, r):
        return self._find(r.instance, pb.TASK).value.needs(r)

    def Fit(self, r):
        i = self._find(r.instance, pb.TASK)
        x = view(r.x, dtype=pb.F32)
        weights = view(r.weights, dtype=pb.F64) if r.HasField("weights") else None
        state = i.value.fit(x, named(r.labels, dtype=pb.F64), weights, r.seed, np.array(r.samples, np.uint64))
        return pb.FitAnswer(state=Room(r.slot).arrays(state, "TaskNeeds.state_bytes"))

    def Predict(self, r):
        i = self._find(r.instance, pb.TASK)
        columns = i.value.predict(given(r.state), view(r.x, dtype=pb.F32))
        return pb.PredictAnswer(columns=Room(r.slot).arrays(columns, "TaskNeeds.prediction_bytes"))

    def Score(self, r):
        i = self._find(r.instance, pb.TASK)
        return i.value.score(given(r.predictions), named(r.labels), named(r.fit_labels))

    # engine: a component's compile gives a network, which answers the calls that name it.

    def Report(self, r):
        return self._find(r.instance, pb.ENGINE).value.report()

    def Compile(self, r):
        i = self._find(r.instance, pb.ENGINE)
        network = i.value.compile(r, named(r.inputs), named(r.outputs, write=True), named(r.gradients))
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
        self._network(r.network).read(named(r.arrays, write=True))
        return pb.ArraysDone()

    def EngineWrite(self, r):
        self._network(r.network).write(named(r.arrays))
        return pb.ArraysDone()

    def Drop(self, r):
        network = self.networks.pop(r.network, None)
        if hasattr(network, "close"):
            network.close()
        return pb.Dropped()


def _value(field, value) -> pb.Value:
    """A value of a record on the wire: missing where it is None, masked, or not a number."""
    if value is None or value is np.ma.masked or value != value:
        return pb.Value(missing=True)
    if field.type == pb.Field.NUMBER:
        return pb.Value(number=float(value))
    if isinstance(value, bytes):  # as tables of FITS files have them
        value = value.decode()
    if not isinstance(value, str):
        raise TypeError
    return pb.Value(text=value)


# Where two services have a call of one name, the method has the service's before it.
_METHODS = {("Augmentation", "Plan"): "AugmentationPlan", ("Objective", "Plan"): "ObjectivePlan", ("Engine", "Read"): "EngineRead", ("Engine", "Write"): "EngineWrite"}


def manifest(name, version, components) -> pb.Description:
    """What the plugin says of itself."""
    d = pb.Description(name=name, version=version, api=API)
    for c in components:
        d.components.add(name=c.name, kind=c.kind, revision=c.revision, schema=c.schema, summary=c.summary)
    return d


def _handler(f, request, answer):
    def call(message, context):
        unknown = None
        try:
            answered = f(request.FromString(message))
            if not isinstance(answered, answer):
                raise TypeError(f"the component answered with {type(answered).__name__}, not {answer.__name__}")
            data = answered.SerializeToString()
            if len(data) > MAX_MESSAGE:
                raise RuntimeError(f"the answer has {len(data)} bytes, and may have {MAX_MESSAGE}")
            return data
        except _Unimplemented as e:
            unknown = str(e)
        except BaseException as e:  # also SystemExit, which would leave the host without an answer
            said = status(e)
        if unknown:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, unknown)
        context.set_trailing_metadata((("grpc-status-details-bin", said),))
        context.abort(grpc.StatusCode.UNKNOWN, "the component failed")

    return grpc.unary_unary_rpc_method_handler(call)


def _handlers(service: Service):
    for s in pb.DESCRIPTOR.services_by_name.values():
        methods = {}
        for m in s.methods:
            request, answer = getattr(pb, m.input_type.name), getattr(pb, m.output_type.name)
            methods[m.name] = _handler(getattr(service, _METHODS.get((s.name, m.name), m.name)), request, answer)
        yield grpc.method_handlers_generic_handler(s.full_name, methods)

    # What go-plugin asks of every plugin: is it well, and, at the end, that it stops. Both messages are empty or of one byte.
    def shutdown(_, context):
        context.add_callback(service.stopped.set)
        return b""

    yield grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown)})
    yield grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(lambda *_: b"\x08\x01")})


def run(name, version, components):
    """Serves the components until the host closes or dies."""
    service = Service(name, version, components)
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1) + 2),
        handlers=tuple(_handlers(service)),
        options=[("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE), ("grpc.so_reuseport", 0)],
    )
    path = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], f"{name}-{os.getpid()}")  # a folder of the host's, only the user's
    server.add_insecure_port("unix:" + path)
    server.start()
    print(f"1|{API}|unix|{path}|grpc", file=_process.stdout, flush=True)
    _process.stdout.close()
    service.stopped.wait()
    server.stop(0.2).wait(1)  # a call that does not end is left
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # without waiting for threads of the author's
