"""Acme is a plugin for Asterism with one encoder."""

import math
import pathlib

import asterism_plugin as asterism  # before everything that prints when it is imported


@asterism.encoder(
    "small",
    revision=1,  # raise it whenever results change for the same configuration
    summary="A small convolutional network.",
    schema=pathlib.Path(__file__).with_name("schema.cue").read_text(encoding="utf-8"),
)
class Small:
    def __init__(self, config):
        self.width, self.stages = config["width"], config["stages"]  # the schema has checked them

    def describe(self, input):
        """Gives the network for samples of the shape input (space…, bands); the engine computes it.

        A model is a list of layers, each with the names of its inputs, and of the parameters that they name: weights are
        stored and exchanged by these names.
        """
        *space, channels = input
        rank = len(space)
        if not 1 <= rank <= 3:
            raise asterism.ConfigError(f"convolutions want 1 to 3 spatial axes, and samples have {rank}", "choose another encoder")
        m = asterism.Model(opset=1, input=input)
        x = "input"  # the sample itself
        for stage in range(1, self.stages + 1):
            out = self.width << (stage - 1)
            conv, norm, relu = (f"stage{stage}.{layer}" for layer in ("conv", "norm", "relu"))
            # Normal numbers of variance 2/(out × kernel), the usual start before a ReLU.
            init = asterism.Init(normal=math.sqrt(2 / (out * 3**rank)))
            m.parameters.add(name=conv + ".weight", shape=[out, channels, *[3] * rank], init=init)
            m.layers.add(name=conv, inputs=[x], conv=asterism.Conv(weight=conv + ".weight", stride=[2] * rank, padding=[1] * rank, dilation=[1] * rank))
            for name, start in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
                # Running statistics are buffers: saved, never trained.
                m.parameters.add(name=f"{norm}.{name}", shape=[out], init=asterism.Init(constant=start), buffer=name.startswith("running"))
            m.layers.add(
                name=norm,
                inputs=[conv],
                batch_norm=asterism.BatchNorm(
                    weight=norm + ".weight", bias=norm + ".bias", running_mean=norm + ".running_mean", running_var=norm + ".running_var", epsilon=1e-5, momentum=0.1
                ),
            )
            m.layers.add(name=relu, inputs=[norm], relu=asterism.Relu())
            x, channels = relu, out
        m.layers.add(name="pool", inputs=[x], global_average_pool=asterism.GlobalAveragePool())
        # Every encoder has these two outputs: the last map, and the vector that objectives and tasks are given.
        m.outputs["features"], m.outputs["representation"] = x, "pool"
        return m


asterism.serve("acme", "0.1.0")
