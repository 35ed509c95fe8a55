"""A program as a network: passes, gradients, the optimiser's step and the momentum network."""

import warnings

import asterism_plugin as asterism
import torch

import machine
from model import Model, Run

LINE = 16  # values that arrays are aligned to: the kernels read several at once


class Arrays:
    """Arrays in one vector, so that what is done to all is one operation."""

    def __init__(self, shapes, dtype, device):
        self.span, at = {}, 0
        for name, shape in shapes:
            size = 1
            for n in shape:
                size *= n
            self.span[name] = at, at + size
            at += -(-size // LINE) * LINE
        self.all = torch.zeros(at, dtype=dtype, device=device)
        self.of = {name: laid_out(self.all[slice(*self.span[name])], shape) for name, shape in shapes}

    def not_finite(self):
        """The name of the first that is not finite, or None."""
        if torch.isfinite(self.all).all():
            return None
        return min(name for name, values in self.of.items() if not torch.isfinite(values).all())


def laid_out(part, shape):
    """A part of a vector as an array. Those of images and volumes lie channels-last, as what they are multiplied with."""
    if len(shape) < 4:
        return part.view(tuple(shape))
    return part.view(shape[0], *shape[2:], shape[1]).movedim(-1, 1)


class Pass:
    """A pass, and what is kept from it for its gradient."""

    def __init__(self, network, heads, gradient, groups, taps):
        self.network, self.heads, self.gradient, self.groups, self.taps = network, heads, gradient, groups, taps
        self.tapped = None  # by tap, after the forward pass


class Network:
    """A compiled program. inputs, outputs and gradients are numpy views of memory that the host shares, by the names of
    passes and taps."""

    def __init__(self, request, inputs, outputs, gradients, device):
        self.device, self.train, self.seed = device, request.train, request.seed
        self.threads = request.threads or machine.processors()
        self.dtype = torch.float64 if request.precision == "float64" else torch.float32
        self.half = request.precision == "bfloat16"
        self.encoder = Model("encoder.", request.encoder)
        self.heads = {h.name: (Model(f"head.{h.name}.", h.model), h.input) for h in request.heads}
        self._take(request)
        self.passes = {}
        for p in request.passes:
            taps = {t.name: t.output for t in request.taps if getattr(t, "pass") == p.name}
            self.passes[p.name] = Pass(self.online if p.network == asterism.ONLINE else self.second, list(p.heads), p.gradient and self.train, p.norm_groups, taps)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # inputs cannot be written, and are not
            self.inputs, self.outputs, self.gradients = ({name: torch.from_numpy(a) for name, a in given.items()} for given in (inputs, outputs, gradients))

    def _take(self, request):
        """Takes the memory of all arrays: trained ones in four parts, as the optimiser treats them, and running statistics."""
        described = [("encoder." + p.name, p) for p in request.encoder.parameters]
        described += [(f"head.{h.name}.{p.name}", p) for h in request.heads for p in h.model.parameters]
        described.sort(key=lambda d: (d[1].no_decay, not d[0].startswith("encoder."), d[0]))
        trained = [(name, list(p.shape)) for name, p in described if not p.buffer]
        buffers = [(name, list(p.shape)) for name, p in described if p.buffer]

        def take(shapes):
            return Arrays(shapes, self.dtype, self.device)

        self.weights, self.statistics = take(trained), take(buffers)
        self.online = {**self.weights.of, **self.statistics.of}
        self.state = dict(self.online)
        self.second = None
        if request.second:
            self.second_weights, self.second_statistics = take(trained), take(buffers)
            self.second = {**self.second_weights.of, **self.second_statistics.of}
            self.state.update({"momentum." + name: a for name, a in self.second.items()})
        self.training = request.train and any(p.gradient for p in request.passes)
        if self.training:
            self.sums, self.velocities = take(trained), take(trained)
            self.state.update({"optimiser." + name: a for name, a in self.velocities.of.items()})
            for name, _ in trained:
                leaf = self.online[name] = self.weights.of[name].detach().requires_grad_()
                leaf.grad = self.sums.of[name]  # where backward adds
            self.parts = list(self._parts({name: p for name, p in described if not p.buffer}))

    def _parts(self, parameters):
        """Runs of trained arrays that the optimiser treats alike: where, whether they decay, whether they are the encoder's."""
        spans = {}
        for name, p in parameters.items():
            begin, end = self.weights.span[name]
            key = not p.no_decay, name.startswith("encoder.")
            spans[key] = spans.get(key, (begin, end))[0], end
        for (decays, encoder), (begin, end) in spans.items():
            yield slice(begin, end), decays, encoder

    def _begin(self):
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)

    def _end(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def forward(self, name, samples, step):
        """Computes a pass and fills its taps."""
        self._begin()
        p = self.passes[name]
        p.tapped = None
        run = Run(name, self.train, p.groups, samples, step, self.seed, self.device)
        with torch.set_grad_enabled(p.gradient), torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            x = self.inputs[name][:samples].to(self.device, self.dtype)
            values = self.encoder(run, p.network, x)
            for head in p.heads:
                model, source = self.heads[head]
                values[head] = model(run, p.network, values[source])["out"]
            tapped = {tap: values[output].to(self.dtype) for tap, output in p.taps.items()}
        for tap, value in tapped.items():
            self.outputs[tap][:samples].copy_(value.detach())
        if p.gradient:
            p.tapped = tapped
        self._end()

    def backward(self, name):
        """Adds the gradients of a pass, from those at its taps."""
        self._begin()
        p = self.passes[name]
        if p.tapped is None:
            raise RuntimeError(f"the gradient of the pass {name!r} before its forward pass")
        tapped, p.tapped = p.tapped, None
        reached = {tap: value for tap, value in tapped.items() if value.requires_grad}
        if reached:
            torch.autograd.backward(list(reached.values()), [self.gradients[tap].to(self.device, self.dtype) for tap in reached])
        self._end()

    @torch.no_grad()
    def step(self, lr, momentum, weight_decay, encoder):
        """SGD. Gives the name of the first array whose gradient or value is not finite, and then changes none."""
        self._begin()
        if not self.training:
            raise RuntimeError("a step of a network without gradients")
        wrong = self.sums.not_finite() or self.statistics.not_finite()
        if wrong is None and self.second is not None:
            wrong = self.second_statistics.not_finite()
            wrong = wrong and "momentum." + wrong
        if wrong is None:
            for part, decays, encoders in self.parts:
                w, v = self.weights.all[part], self.velocities.all[part]
                v.mul_(momentum).add_(self.sums.all[part])
                if decays and weight_decay:
                    v.add_(w, alpha=weight_decay)
                w.add_(v, alpha=-lr * encoder if encoders else -lr)
        self.sums.all.zero_()
        self._end()
        return wrong

    @torch.no_grad()
    def update_momentum(self, m):
        """Moves the trained parameters of the momentum network towards the online ones."""
        self._begin()
        self.second_weights.all.lerp_(self.weights.all, 1 - m)
        self._end()

    @torch.no_grad()
    def read(self, arrays):
        """Fills arrays, by the names of the state."""
        for (name, into), values in zip(arrays.items(), self._known(arrays)):
            torch.from_numpy(into).copy_(values)

    @torch.no_grad()
    def write(self, arrays):
        """Takes over arrays, by the names of the state: all of them or, where one is wrong, none."""
        for (name, given), values in zip(arrays.items(), self._known(arrays)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values.copy_(torch.from_numpy(given))
        self._end()

    def _known(self, arrays):
        for name, a in arrays.items():
            if name not in self.state:
                raise asterism.DataError(f"the network has no array {name!r}", "give the weights of the same encoder and heads")
            if a.shape != tuple(self.state[name].shape):
                raise asterism.DataError(f"the array {name!r} has the shape {list(a.shape)}, the network's has {list(self.state[name].shape)}", "give the weights of the same encoder and heads")
        return [self.state[name] for name in arrays]
