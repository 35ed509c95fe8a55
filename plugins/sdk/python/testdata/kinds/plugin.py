"""The plugin of the tests: a component of each kind, and some that fail."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", ".."))

import asterism_plugin as asterism  # noqa: E402

print("printed by a library")
import numpy as np  # noqa: E402

HOW = "#Config: {\n\t// What the component should do wrong, for tests.\n\thow: string | *\"\"\n}\n"


class Configured:
    def __init__(self, config):
        self.how = config.get("how", "")


@asterism.augmentation("noise", revision=1, summary="Adds keyed noise, and its first value as a column.", schema=HOW)
class Noise(Configured):
    def plan(self, facts):
        if self.how == "field":
            raise asterism.FieldError("how", "must not be that", "choose another")
        plan = asterism.AugmentationPlan(leaves=facts, ranks=[1, 2, 3])
        plan.adds.add(name="drawn", type=asterism.Field.NUMBER)
        return plan

    def apply(self, s):
        if self.how == "raise" and s.input.flat[0] == 3:
            raise ValueError("three is unlucky")
        if self.how == "scribble":
            s.input[...] = 0
        if self.how == "exit":
            print("no more licences")
            os._exit(7)
        drawn = s.random.uniforms(s.input.size)
        s.add["drawn"] = drawn[0]
        s.out[...] = s.input + drawn.reshape(s.input.shape)


@asterism.augmentation("twice", revision=1, summary="Doubles, a batch at a time.", schema=HOW)
class Twice(Configured):
    def plan(self, facts):
        return facts

    def apply_batch(self, b):
        np.multiply(b.input, 2, out=b.out)


@asterism.dataset("squares", revision=1, summary="Records whose pixels are their number.", schema=HOW)
class Squares(Configured):
    def open(self):
        c = asterism.Catalogue(count=10, dtype=asterism.F32, facts=asterism.SampleFacts(shape=[4, 4, 1], bands=["r"]), fingerprint="5c4a")
        c.fields.add(name="z", type=asterism.Field.NUMBER)
        c.fields.add(name="class", type=asterism.Field.STRING)
        return c

    def read(self, i):
        if i == 6:
            return asterism.Record("", bad="file 6 is broken")
        return asterism.Record(f"object {i}", np.full((4, 4, 1), i, np.float32), [i / 2, None if i % 2 else "even"])

    def read_file(self, path):
        number = path.removeprefix("object ")
        if not number.isdigit():
            return asterism.Record("", bad=f"{path}: no such file")
        return asterism.Record(path, np.full((4, 4, 1), int(number), np.float32), [None, None])


@asterism.encoder("pool", revision=1, summary="The mean of what is bright in each band.", schema=HOW)
class Pool(Configured):
    def describe(self, input):
        m = asterism.Model(opset=1, input=input)
        m.layers.add(name="pixels", inputs=["input"]).relu.SetInParent()
        m.layers.add(name="pool", inputs=["pixels"]).global_average_pool.SetInParent()
        m.outputs["features"], m.outputs["representation"] = "pixels", "pool"
        return m


@asterism.objective("pull", revision=1, summary="Mean square of the tap.", schema=HOW)
class Pull(Configured):
    def plan(self, r):
        self.steps = np.zeros(1)
        p = asterism.Program(state_bytes=8)
        p.views.add(name="x", pipeline="train")
        getattr(p, "passes").add(name="x", view="x", gradient=True)
        p.taps.add(name="h", output="representation", **{"pass": "x"})
        return p

    def loss(self, step, taps, gradients, labels):
        gradients["h"][...] = 2 * taps["h"]
        self.steps += 1
        return float((taps["h"] ** 2).sum() + self.steps[0])

    def state(self):
        return {"steps": self.steps}

    def set_state(self, state):
        self.steps = state["steps"]


@asterism.task("mean", revision=1, summary="Predicts the mean.", schema=HOW)
class Mean(Configured):
    def needs(self, r):
        return asterism.TaskNeeds(labels=["z"], state_bytes=16, prediction_bytes=8 * r.predict_rows)

    def fit(self, x, labels, weights, seed, samples):
        return [asterism.Array("mean", np.array([np.average(labels["z"], weights=weights)]), ["a"]), asterism.Array("bytes", np.array([1, 2], np.uint8))]

    def predict(self, state, x):
        assert state["bytes"].values.tolist() == [1, 2] and state["mean"].categories == ["a"]
        return {"z": np.full(len(x), state["mean"].values[0])}

    def score(self, predictions, labels, fit_labels):
        error = np.abs(predictions["z"].values - labels["z"]).mean()
        return asterism.ScoreAnswer(metrics=[asterism.Metric(name="mean absolute error", value=error, better=asterism.Metric.LOWER, doc="mean of |predicted − z|")])


asterism.serve("kinds", "1.0.0")
