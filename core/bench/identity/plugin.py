"""The plugin with which `asterism bench plugin-overhead` measures what Python costs: it copies."""

import asterism_plugin as asterism

SCHEMA = "// Copies samples; there is nothing to set.\n#Config: {}\n"


class Identity:
    def __init__(self, config):
        pass

    def plan(self, facts):
        return asterism.AugmentationPlan(leaves=facts, ranks=[1, 2, 3])


@asterism.augmentation("batches", revision=1, summary="Copies a batch at a time.", schema=SCHEMA)
class Batches(Identity):
    def apply_batch(self, batch):
        batch.out[...] = batch.input


@asterism.augmentation("samples", revision=1, summary="Copies a sample at a time.", schema=SCHEMA)
class Samples(Identity):
    def apply(self, sample):
        sample.out[...] = sample.input


asterism.serve("identity", "1.0.0")
