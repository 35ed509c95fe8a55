"""A plugin that does wrong what its configuration, or its first argument, names."""

import ctypes
import multiprocessing
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))

import asterism_plugin as asterism  # noqa: E402
import numpy as np  # noqa: E402

SCHEMA = """
// What it does wrong.
#Config: {
	// The name of it.
	how: string | *""
}
"""
libc = ctypes.CDLL(None)

if sys.argv[1:] == ["import"]:
    import a_module_that_nobody_has  # noqa: F401
if sys.argv[1:] == ["exit"]:
    sys.exit("the licence has expired")


def square(x):
    print("in a child:", x, flush=True)
    return x * x


class Strange(Exception):
    def __str__(self):
        raise RuntimeError("no")


@asterism.augmentation("scale", revision=1, summary="Doubles, where nothing goes wrong.", schema=SCHEMA)
class Scale:
    def __init__(self, config):
        self.how = config["how"]
        if self.how == "init":
            raise ValueError("cannot be made")

    def plan(self, facts):
        if self.how == "plan":
            raise LookupError("cannot be planned")
        if self.how == "nothing":
            return None
        return facts

    def apply(self, s):
        getattr(self, "do_" + self.how, lambda s: None)(s)
        s.out = s.input * 2  # instead of filling it: the SDK takes it over

    def do_raise(self, s):
        helper = {}
        return helper["größe"]

    def do_long(self, s):
        raise ValueError("\udce9 long: " + 100000 * "x")

    def do_strange(self, s):
        raise Strange

    def do_sysexit(self, s):
        sys.exit(3)

    def do_memory(self, s):
        raise MemoryError("100 EB")

    def do_data(self, s):
        raise asterism.DataError("the map has a hole", "fill it")

    def do_resource(self, s):
        raise asterism.ResourceError("the GPU is taken", "wait")

    def do_shape(self, s):
        s.out[...] = np.zeros(77)

    def do_segfault(self, s):
        print("about to follow a null pointer")
        ctypes.string_at(0)

    def do_print(self, s):
        print("größe \udce9 → ∞")
        print(30000 * "y")
        sys.stdout.write("without an end ")
        print("and with it")
        libc.puts(b"printed by C")
        os.write(1, b"written to the descriptor\n")
        subprocess.run(["echo", "echoed by a child"])

    def do_cexit(self, s):
        libc.puts(b"last words in C")
        os._exit(9)

    def do_threads(self, s):
        def forever():
            while True:
                time.sleep(0.01)

        def fail():
            raise ValueError("in a thread of its own")

        threading.Thread(target=forever).start()
        threading.Thread(target=fail).start()

    def do_fork(self, s):
        self.pool("fork")

    def do_spawn(self, s):
        self.pool("spawn")

    def pool(self, method):
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.map(square, [7]) == [49]
        multiprocessing.get_context(method).Process(target=time.sleep, args=(3600,)).start()
        print("child", multiprocessing.active_children()[0].pid)

    def do_busy(self, s):  # for an hour, without ever giving the interpreter's lock back
        print("child", subprocess.Popen(["sleep", "3600"]).pid)
        print("busy", os.getpid())
        ctypes.PyDLL(None).sleep(3600)

    def do_sleep(self, s):
        print("busy", os.getpid())
        time.sleep(3600)


@asterism.augmentation("probe", revision=1, summary="Doubles, and looks where its memory is.", schema=SCHEMA)
class Probe:
    def __init__(self, config):
        self.seen = []

    def plan(self, facts):
        plan = asterism.AugmentationPlan(leaves=facts)
        plan.adds.add(name="at", type=asterism.Field.NUMBER)
        return plan

    def apply_batch(self, b):
        for name, values, writable in (("input", b.input, False), ("out", b.out, True)):
            assert values.flags.writeable == writable and values.flags.c_contiguous, name
            where = values.__array_interface__["data"][0]
            with open("/proc/self/maps") as maps:
                for line in maps:
                    first, last = (int(n, 16) for n in line.split()[0].split("-"))
                    if first <= where < last:
                        print(name, "shared" if "asterism" in line and line.split()[1][3] == "s" else "private")
                        print(name, "at", where)
        b.add["at"] = np.full(len(b), 5.0)
        b.out[...] = 2 * b.input


@asterism.task("answers", revision=1, summary="Answers with what it is told to.", schema=SCHEMA)
class Answers:
    def __init__(self, config):
        self.how = config["how"]

    def needs(self, r):
        if self.how == "needs":
            return {"labels": ["z"]}
        return asterism.TaskNeeds(labels=["z"], state_bytes=640, prediction_bytes=640)

    def fit(self, x, labels, weights, seed, samples):
        return {
            "large": {"a": np.zeros(10**6)},
            "complex": {"a": np.zeros(3, complex)},
            "object": {"a": np.array([None])},
            "list": [np.zeros(3)],
        }.get(self.how, {"int": np.arange(3, dtype=np.int32), "bool": np.array([True]), "half": np.ones(2, np.float16), "big": np.arange(2, dtype=">f8"), "long": [1, 2**40]})

    def predict(self, state, x):
        assert {n: a.values.dtype.str for n, a in state.items()} == {"int": "<i8", "bool": "|u1", "half": "<f4", "big": "<f8", "long": "<i8"}, state
        assert state["big"].values.tolist() == [0, 1] and not state["int"].values.flags.writeable
        if self.how == "scribble":
            x[...] = 0
        return {"z": np.zeros(len(x))}

    def score(self, predictions, labels, fit_labels):
        return asterism.ScoreAnswer()


@asterism.dataset("table", revision=1, summary="A table of odd values.", schema=SCHEMA)
class Table:
    def __init__(self, config):
        self.how = config["how"]

    def open(self):
        c = asterism.Catalogue(count=3, dtype=asterism.F32, facts=asterism.SampleFacts(shape=[2, 2, 1], bands=["r"]))
        c.fields.add(name="z", type=asterism.Field.NUMBER)
        c.fields.add(name="class", type=asterism.Field.STRING)
        return c

    def read(self, i):
        pixels = np.full((2, 2, 1), i, ">f4").transpose(1, 0, 2)  # as a FITS file has them
        if self.how == "double":
            pixels = pixels.astype("f8")
        if self.how == "none":
            return None
        values = [(np.float32(1.5), b"spiral"), (np.ma.masked, None), (float("nan"), np.str_("ring"))][i]
        if self.how == "text":
            values = ("three", "ring")
        return asterism.Record(f"object {i}", pixels, values)

    def read_file(self, path):
        return asterism.Record(path, np.zeros((2, 2, 1), np.float32), [1, "x"])


asterism.serve("misfit", "1.0.0")
