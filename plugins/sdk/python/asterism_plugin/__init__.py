"""What plugin authors import: write a class for each component, and call serve.

    import asterism_plugin as asterism

    @asterism.augmentation("negate", revision=1, summary="Turns light into dark.", schema="// Nothing to set.\\n#Config: {}\\n")
    class Negate:
        def __init__(self, config): ...
        def plan(self, facts): return facts
        def apply(self, sample): sample.out[...] = -sample.input

    asterism.serve("acme", "1.0.0")

The package does the rest: the handshake, batches, shared memory, errors, logs, and ending with the host. What is printed
goes to the log; an exception is an error of the component, with its traceback, and does not end the process.

It must be imported before libraries that print when they are imported. Messages that authors read and write (SampleFacts,
AugmentationPlan, Catalogue, Program, …) are those of the contract, core/protocol/asterism.proto, under this package's name.

Threads: calls come from threads of the SDK's. Datasets and objectives are called one at a time; an augmentation, a task or an
encoder by several threads at once, so keep in self what the configuration says and nothing of a call. One batch is one
call in one thread: what computes in numpy or in C runs beside others, what computes in Python takes turns. asterism
--threads N gives a plugin's process OMP_NUM_THREADS=N; results must not depend on it.
"""

from . import _process  # first: from here on prints go to the log
import re
import sys

try:
    from . import key
    from .asterism_pb2 import *  # noqa: F401,F403 - the messages of the contract
    from .asterism_pb2 import AUGMENTATION, DATASET, ENCODER, ENGINE, OBJECTIVE, TASK

    if _process.stdout is not None:
        import grpc  # noqa: F401 - here, where it is told what is missing
except ModuleNotFoundError as e:
    hint = "pip install grpcio protobuf numpy; Debian: apt install python3-grpcio python3-protobuf python3-numpy"
    raise ModuleNotFoundError(f"{e}: plugins in Python need grpcio, protobuf and numpy, and {sys.executable} lacks one ({hint})") from None
from .errors import ConfigError, DataError, FieldError, PluginError, ResourceError

_components = []
_NAME = re.compile("[a-z][a-z0-9_]*")


class _Component:
    def __init__(self, kind, name, revision, summary, schema, make):
        self.kind, self.name, self.revision, self.summary, self.schema, self.make = kind, name, revision, summary, schema, make


class Record:
    """One object of a dataset: pixels [spatial…, bands] as the catalogue says, uint8 or float32, and a value for each of its
    fields, None where missing. Or bad: why the object is left out, with its file and what is wrong with it."""

    def __init__(self, id, pixels=None, values=(), bad=""):
        self.id, self.pixels, self.values, self.bad = id, pixels, values, bad


def _decorator(kind, methods):
    def decorate(name, *, revision, summary, schema):
        def register(make):
            missing = [m for m in methods if not any(hasattr(make, alternative) for alternative in m.split("|"))]
            if missing:
                raise TypeError(f"the component {name} lacks {', '.join(m.replace('|', ' or ') for m in missing)}")
            if not _NAME.fullmatch(name):
                raise ValueError(f"the component name {name!r} is not made of lower-case letters, digits and _")
            if not isinstance(revision, int) or revision < 1:
                raise ValueError(f"the component {name} has the revision {revision!r}; it is a whole number, from 1")
            if "#Config" not in schema:
                raise ValueError(f"the schema of the component {name} does not define #Config")
            if any(c.name == name for c in _components):
                raise ValueError(f"two components have the name {name!r}")
            _components.append(_Component(kind, name, revision, summary, schema, make))
            return make

        return register

    return decorate


#: Registers a dataset: a class that is made from its configuration, a dict, with open() -> Catalogue and read(i) -> Record, and
#: where its records are files of their own read_file(path) -> Record, for a file that somebody asks about. Raise revision
#: whenever results change; schema is CUE text that defines #Config.
dataset = _decorator(DATASET, ["open", "read"])

#: Registers an augmentation: plan(facts) -> SampleFacts or AugmentationPlan of what it leaves, and apply(sample), which fills
#: sample.out, or apply_batch(batch), which fills batch.out.
augmentation = _decorator(AUGMENTATION, ["plan", "apply|apply_batch"])

#: Registers an encoder: describe(input) -> Model for samples of the shape input (spatial…, bands).
encoder = _decorator(ENCODER, ["describe"])

#: Registers an objective: plan(request) -> Program; loss(step, taps, gradients, labels) -> the loss or a LossAnswer, which fills
#: the gradients; and where it has a state, state() -> {name: array} and set_state({name: array}).
objective = _decorator(OBJECTIVE, ["plan", "loss"])

#: Registers a task: needs(request) -> TaskNeeds; fit(x, labels, weights, seed, samples) -> state; predict(state, x) -> columns;
#: score(predictions, labels, fit_labels) -> ScoreAnswer. States and columns are {name: array} or lists of Array; what predict
#: and score are given are Arrays by name, labels arrays by name.
task = _decorator(TASK, ["needs", "fit", "predict", "score"])

#: Registers an engine: report() -> Capabilities; compile(request, inputs, outputs, gradients) -> a network with forward(name,
#: samples, step), backward(name), step(lr, momentum, weight_decay, encoder) -> the name of what is not finite or None,
#: update_momentum(m), read(arrays) and write(arrays). The arrays that compile is given stay valid, at the same place.
engine = _decorator(ENGINE, ["report", "compile"])


def serve(name: str, version: str) -> None:
    """The last line of a plugin. Run with the argument describe it prints the plugin's plugin.json; started by asterism it
    serves the components that were registered until the host closes or dies, and does not return. Where the script is
    imported, as by its own test, it does nothing."""
    if sys._getframe(1).f_globals.get("__name__") != "__main__":
        return  # imported by a test, or read again by multiprocessing in one of its children
    if not _NAME.fullmatch(name) or not version or not _components:
        sys.exit(f"the plugin {name!r} is not complete: it needs a name of lower-case letters, digits and _, a version, and components")
    from . import _serve

    if _process.arenas is not None:
        _serve.run(name, version, _components)
    elif _process.stdout is not None:
        import json

        from google.protobuf import json_format

        described = json_format.MessageToDict(_serve.manifest(name, version, _components))
        json.dump({"command": ["python3", "./plugin.py"], **described}, _process.stdout, indent=2, ensure_ascii=False)
        print(file=_process.stdout, flush=True)
    else:
        print(f"This is the Asterism plugin {name} {version}. It is started by asterism when an experiment names one of its components:\n", file=sys.stderr)
        for c in _components:
            print(f"    {name + '.' + c.name:<24} {c.summary}", file=sys.stderr)
        print("\nTo install it: asterism plugin install FOLDER", file=sys.stderr)
        sys.exit(1)


def __getattr__(name):
    if name in ("Array", "Sample", "Batch", "view"):  # with them comes numpy, which takes its time
        from . import _apply, _tensors

        return getattr(_apply if name in ("Sample", "Batch") else _tensors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
