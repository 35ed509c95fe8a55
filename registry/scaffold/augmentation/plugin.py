"""Acme is a plugin for Asterism with one augmentation."""

import pathlib

import asterism_plugin as asterism  # before everything that prints when it is imported
import numpy as np


@asterism.augmentation(
    "gain",
    revision=1,  # raise it whenever results change for the same configuration
    summary="Makes each band brighter or darker by itself.",
    schema=pathlib.Path(__file__).with_name("schema.cue").read_text(encoding="utf-8"),
)
class Gain:
    def __init__(self, config):
        self.sigma = config["sigma"]  # the schema has checked it, and given its default

    def plan(self, facts):
        """Says what leaves when facts enter, here the same, and on how many spatial axes it works."""
        return asterism.AugmentationPlan(leaves=facts, ranks=[1, 2, 3])

    def apply(self, sample):
        """Fills sample.out from sample.input, which may only be read; both are float32 [space…, bands].

        It draws from sample.random alone: then a sample comes out the same in any batch. A NaN stays a NaN, in its place.
        """
        factors = np.exp(self.sigma * sample.random.normals(sample.input.shape[-1]))
        np.multiply(sample.input, factors.astype(np.float32), out=sample.out)


asterism.serve("acme", "0.1.0")
