"""Model descriptions as PyTorch modules.

A value is channels-last as the contract has it, [batch, spatial…, channels]; convolutions, poolings and norms over space see
it with its axes moved, which PyTorch knows as its channels-last memory format, so that nothing is copied.
"""

import asterism_plugin as asterism
import torch
import torch.nn.functional as F

import draws

CONV = [F.conv1d, F.conv2d, F.conv3d]
CONV_TRANSPOSE = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d]
MAX_POOL = [F.max_pool1d, F.max_pool2d, F.max_pool3d]
AVERAGE_POOL = [F.avg_pool1d, F.avg_pool2d, F.avg_pool3d]
INTERPOLATION = ["linear", "bilinear", "trilinear"]
UNIT_EPSILON = 1e-12  # the least length that the rows of a weight are divided by


class Run:
    """What layers must know of the pass that computes them."""

    def __init__(self, name, training, groups, samples, step, seed, device):
        self.name, self.training, self.groups, self.samples, self.step, self.seed, self.device = name, training, groups, samples, step, seed, device

    def key(self, purpose, layer):
        return asterism.key.Key(self.seed, purpose, layer, self.name)


def first(x):
    """Channels before space."""
    return x.movedim(-1, 1)


def last(x):
    """Channels after space."""
    return x.movedim(1, -1)


class Layer(torch.nn.Module):
    """A layer: op is its message, name has the model's prefix. The parameters that it reads come with each call, since the
    online and the momentum network differ in them alone."""

    def __init__(self, name, op):
        super().__init__()
        self.name, self.op = name, op

    def forward(self, run, array, *inputs):
        raise NotImplementedError


class Conv(Layer):
    def forward(self, run, array, x):
        o = self.op
        return last(CONV[x.dim() - 3](first(x), array(o.weight), array(o.bias), tuple(o.stride), tuple(o.padding), tuple(o.dilation), o.groups or 1))


class ConvTranspose(Layer):
    def forward(self, run, array, x):
        o = self.op
        f = CONV_TRANSPOSE[x.dim() - 3]
        return last(f(first(x), array(o.weight), array(o.bias), tuple(o.stride), tuple(o.padding), tuple(o.output_padding), o.groups or 1, tuple(o.dilation)))


class Linear(Layer):
    def forward(self, run, array, x):
        weight = array(self.op.weight)
        if self.op.unit_norm:
            weight = F.normalize(weight, dim=1, eps=UNIT_EPSILON)
        return F.linear(x, weight, array(self.op.bias))


class BatchNorm(Layer):
    def forward(self, run, array, x):
        o = self.op
        weight, bias, mean, variance = array(o.weight), array(o.bias), array(o.running_mean), array(o.running_var)
        y = x.reshape(len(x), -1, 1, x.shape[-1]).movedim(-1, 1)  # an image, whatever it was: what PyTorch is quick with
        if not run.training or run.groups <= 1:
            y = F.batch_norm(y, mean, variance, weight, bias, run.training, o.momentum, o.epsilon)
        else:  # running statistics move once, by the mean of the parts'
            parts = y.chunk(run.groups)
            means, variances = mean.new_zeros(run.groups, len(mean)), variance.new_zeros(run.groups, len(mean))
            y = torch.cat([F.batch_norm(p, m, v, weight, bias, True, 1.0, o.epsilon) for p, m, v in zip(parts, means, variances)])
            with torch.no_grad():
                mean.lerp_(means.mean(0), o.momentum)
                variance.lerp_(variances.mean(0), o.momentum)
        return last(y).reshape(x.shape)


class LayerNorm(Layer):
    def forward(self, run, array, x):
        return F.layer_norm(wide(x), x.shape[-1:], array(self.op.weight), array(self.op.bias), self.op.epsilon)


class GroupNorm(Layer):
    def forward(self, run, array, x):
        return last(F.group_norm(first(wide(x)), self.op.groups, array(self.op.weight), array(self.op.bias), self.op.epsilon))


def wide(x):
    """x in float32, where it is in bfloat16: sums over it need the bits."""
    return x.float() if x.dtype == torch.bfloat16 else x


class Relu(Layer):
    def forward(self, run, array, x):
        return F.relu(x)


class Activation(Layer):
    def __init__(self, name, op):
        super().__init__(name, op)
        known = {
            op.LEAKY_RELU: lambda x: F.leaky_relu(x, op.slope),
            op.GELU: F.gelu,
            op.SILU: F.silu,
            op.SIGMOID: torch.sigmoid,
            op.TANH: torch.tanh,
        }
        if op.function not in known:
            raise unknown(name, f"the activation {op.function}")
        self.function = known[op.function]

    def forward(self, run, array, x):
        return self.function(x)


class Softmax(Layer):
    def forward(self, run, array, x):
        return F.softmax(wide(x), -1)


class L2Normalise(Layer):
    def forward(self, run, array, x):
        return F.normalize(wide(x), dim=-1, eps=self.op.epsilon)


class MaxPool(Layer):
    def forward(self, run, array, x):
        o = self.op
        return last(MAX_POOL[x.dim() - 3](first(x), tuple(o.kernel), tuple(o.stride), tuple(o.padding)))


class AveragePool(Layer):
    def forward(self, run, array, x):
        o = self.op
        return last(AVERAGE_POOL[x.dim() - 3](first(x), tuple(o.kernel), tuple(o.stride), tuple(o.padding)))


class GlobalAveragePool(Layer):
    def forward(self, run, array, x):
        return wide(x).flatten(1, -2).mean(1)


class Upsample(Layer):
    def forward(self, run, array, x):
        o = self.op
        if o.mode == o.LINEAR:
            size = [n * s for n, s in zip(x.shape[1:-1], o.scale)]
            return last(F.interpolate(first(x), size=size, mode=INTERPOLATION[len(size) - 1], align_corners=False))
        if o.mode != o.NEAREST:
            raise unknown(self.name, f"the mode {o.mode}")
        for axis, s in enumerate(o.scale, 1):
            x = x.unsqueeze(axis + 1).expand(*x.shape[: axis + 1], s, *x.shape[axis + 1 :]).flatten(axis, axis + 1)
        return x


class Add(Layer):
    def forward(self, run, array, x, y):
        return x + spread(x, y)


class Multiply(Layer):
    def forward(self, run, array, x, y):
        return x * spread(x, y)


def spread(x, y):
    """y, which has the shape of a sample of x or of its last axes, so that it stands for the axes that it lacks."""
    return y.reshape(len(y), *[1] * (x.dim() - y.dim()), *y.shape[1:])


class Concat(Layer):
    def forward(self, run, array, *inputs):
        return torch.cat(inputs, axis(self.op.axis))


class Slice(Layer):
    def forward(self, run, array, x):
        return x.narrow(axis(self.op.axis), self.op.start, self.op.size)


def axis(a):
    """An axis of a sample as one of a batch."""
    return a + 1 if a >= 0 else a


class Reshape(Layer):
    def forward(self, run, array, x):
        return x.reshape(len(x), *self.op.shape)


class Gather(Layer):
    def forward(self, run, array, x, indices):
        return x[rows(indices), indices]


class Scatter(Layer):
    def forward(self, run, array, x, indices, filling):
        y = filling[:, None].expand(-1, self.op.tokens, -1)
        return y.index_put((rows(indices), indices), x.to(y.dtype))


def rows(indices):
    """What goes with indices of tokens, so that each sample's choose among its own."""
    return torch.arange(len(indices), device=indices.device)[:, None]


class TokenOrder(Layer):
    def forward(self, run, array, x):
        n = x.shape[1]
        if not run.training:
            return torch.arange(n, device=run.device).expand(len(x), n)
        return torch.from_numpy(draws.orders(run.key("token order", self.name), run.step, len(x), n)).to(run.device)


class Dropout(Layer):
    def forward(self, run, array, x):
        rate = self.op.rate
        if not run.training or rate == 0:
            return x
        keep = draws.kept(run.key("dropout", self.name), rate, run.step, len(x), x[0].numel(), run.device)
        return torch.where(keep.reshape(x.shape), x * (1 / (1 - rate)), x.new_zeros(()))


class StopGradient(Layer):
    def forward(self, run, array, x):
        return x.detach()


class Attention(Layer):
    def forward(self, run, array, *inputs):
        q, k, v = inputs if len(inputs) == 3 else inputs[0].chunk(3, -1)
        q, k, v = (x.unflatten(-1, (self.op.heads, -1)).transpose(1, 2) for x in (q, k, v))
        weights = F.softmax(wide(q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5, -1)
        return (weights @ v).transpose(1, 2).flatten(2)


class Learned(Layer):
    def forward(self, run, array):
        value = array(self.op.parameter)
        return value.expand(run.samples, *value.shape)


#: The layers of the opsets 1 and 2, by the names of their fields in a Layer.
LAYERS = {
    "conv": Conv, "linear": Linear, "batch_norm": BatchNorm, "relu": Relu, "max_pool": MaxPool,
    "global_average_pool": GlobalAveragePool, "add": Add, "l2_normalise": L2Normalise,
    "conv_transpose": ConvTranspose, "upsample": Upsample, "layer_norm": LayerNorm, "group_norm": GroupNorm,
    "activation": Activation, "softmax": Softmax, "average_pool": AveragePool, "multiply": Multiply, "concat": Concat,
    "reshape": Reshape, "slice": Slice, "gather": Gather, "scatter": Scatter, "token_order": TokenOrder, "dropout": Dropout,
    "stop_gradient": StopGradient, "attention": Attention, "learned": Learned,
}  # fmt: skip
OPSET = 2


def unknown(layer, what):
    return asterism.PluginError(f"the layer {layer!r} has {what}, which this engine does not know", "use versions of Asterism and of the plugin torch that belong together")


class Model(torch.nn.Module):
    """A described model. Names of its layers and parameters are given the prefix, "encoder." or "head.NAME."."""

    def __init__(self, prefix, description):
        super().__init__()
        if description.opset > OPSET:
            raise asterism.PluginError(f"the model asks for opset {description.opset}, and this engine knows the opsets 1 to {OPSET}", "install a newer version of the plugin torch, or use the native engine")
        self.prefix, self.outputs = prefix, dict(description.outputs)
        self.layers = torch.nn.ModuleList()
        self.inputs, needed = [], set(self.outputs.values())
        for layer in description.layers:
            op = layer.WhichOneof("op")
            if op not in LAYERS:
                raise unknown(prefix + layer.name, "an operation")
            self.layers.append(LAYERS[op](prefix + layer.name, getattr(layer, op)))
            self.inputs.append((layer.name, list(layer.inputs)))
        self.forgotten = []  # the values that nothing reads after a layer
        for _, inputs in reversed(self.inputs):
            self.forgotten.insert(0, [name for name in inputs if name not in needed])
            needed.update(inputs)

    def forward(self, run, arrays, x):
        """The outputs by name, of samples x, with arrays by full name."""

        def array(name):
            return arrays[self.prefix + name] if name else None

        values = {"input": x}
        for layer, (name, inputs), forgotten in zip(self.layers, self.inputs, self.forgotten):
            values[name] = layer(run, array, *(values[i] for i in inputs))
            for i in set(forgotten):
                del values[i]
        return {output: values[name] for output, name in self.outputs.items()}
