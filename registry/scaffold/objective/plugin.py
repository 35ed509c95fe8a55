"""Acme is a plugin for Asterism with one objective."""

import math
import pathlib

import asterism_plugin as asterism  # before everything that prints when it is imported
import numpy as np


@asterism.objective(
    "spread",
    revision=1,  # raise it whenever results change for the same configuration
    summary="Two views of an object together, different objects apart.",
    schema=pathlib.Path(__file__).with_name("schema.cue").read_text(encoding="utf-8"),
)
class Spread:
    def __init__(self, config):
        # The schema has checked them, and given the defaults.
        self.dim, self.weight, self.t, self.view = config["dim"], config["weight"], config["t"], config["view"]

    def plan(self, request):
        """Tells the training loop what to compute at each step: which views, through which heads, and what loss reads."""
        if request.batch < 2:
            raise asterism.ConfigError(f"a batch of {request.batch} has no different objects", "use a batch of at least 2")
        # The head puts embeddings on the unit sphere. What a head computes needs no gradient of ours.
        head = asterism.Model(opset=1, input=request.representation)
        bound = 1 / math.sqrt(request.representation[0])
        head.parameters.add(name="linear.weight", shape=[self.dim, request.representation[0]], init=asterism.Init(uniform=bound))
        head.parameters.add(name="linear.bias", shape=[self.dim], init=asterism.Init(uniform=bound))
        head.layers.add(name="linear", inputs=["input"], linear=asterism.Linear(weight="linear.weight", bias="linear.bias"))
        head.layers.add(name="unit", inputs=["linear"], l2_normalise=asterism.L2Normalise(epsilon=1e-12))
        head.outputs["out"] = "unit"
        program = asterism.Program(heads=[asterism.Head(name="embedding", model=head, input="representation")])
        for name in ("one", "other"):
            program.views.add(name=name, pipeline=self.view)
            # pass is a word of Python's own: fields of that name are given as **{"pass": …}.
            program.passes.add(name=name, view=name, heads=["embedding"], gradient=True)
            program.taps.add(name=name, output="embedding", **{"pass": name})
        return program

    def loss(self, step, taps, gradients, labels):
        """Gives the loss of one step and fills its gradients, arrays of the taps' shapes [batch, dim].

        The tests compare them with finite differences.
        """
        one, other = (taps[name].astype(np.float64) for name in ("one", "other"))
        # Alignment: the mean square of the distance between the two views of an object.
        difference = one - other
        alignment = (difference**2).sum() / len(one)
        (u, du), (v, dv) = self.uniformity(one), self.uniformity(other)
        gradients["one"][...] = 2 / len(one) * difference + self.weight / 2 * du
        gradients["other"][...] = -2 / len(one) * difference + self.weight / 2 * dv
        return asterism.LossAnswer(
            loss=alignment + self.weight * (u + v) / 2,
            metrics=[
                asterism.Metric(name="alignment", value=alignment, better=asterism.Metric.LOWER),
                asterism.Metric(name="uniformity", value=(u + v) / 2, better=asterism.Metric.LOWER),
            ],
        )

    def uniformity(self, z):
        """ln of the mean over pairs of exp(-t·distance²), low where embeddings are spread over the sphere; its gradient."""
        squares = (z**2).sum(1)
        near = np.exp(-self.t * np.maximum(0, squares[:, None] + squares - 2 * z @ z.T))
        np.fill_diagonal(near, 0)
        total = near.sum()
        gradient = -4 * self.t / total * (near.sum(1)[:, None] * z - near @ z)
        return math.log(total / (len(z) * (len(z) - 1))), gradient


asterism.serve("acme", "0.1.0")
