"""torch.engine: networks computed by PyTorch, on the processor or on a GPU."""

import concurrent.futures
import os
import pathlib

import asterism_plugin as asterism

HERE = pathlib.Path(__file__).parent

#: One thread computes, whichever asks: PyTorch's own threads, and its settings, belong to the one that calls.
compute = concurrent.futures.ThreadPoolExecutor(1, "compute")


@asterism.engine("engine", revision=1, summary="PyTorch, on the processor or on a GPU", schema=(HERE / "engine.cue").read_text())
class Engine:
    """The engine as it is configured. PyTorch is imported with the first of these, not with this file: to describe itself a
    plugin must not wait for it."""

    def __init__(self, config):
        self.device, self.deterministic = config["device"], config["deterministic"]
        self.device = self.run(lambda: self.machine.find(self.device))

    def run(self, f, *arguments):
        """f(*arguments) in the thread that computes."""
        return compute.submit(lambda: self.machine.guarded(self.deterministic, f, *arguments)).result()

    @property
    def machine(self):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may give other bits in every run
        try:
            import machine
        except ImportError as e:
            raise asterism.ResourceError(f"PyTorch cannot be imported: {e}", "install it for the python3 in PATH (Debian: apt install python3-torch), or use the native engine") from e
        return machine

    def report(self):
        return self.run(lambda: self.machine.report(self.device))

    def compile(self, request, inputs, outputs, gradients):
        def make():
            from network import Network

            can = self.machine.report(self.device).precisions
            if request.precision not in can:
                raise asterism.ConfigError(f"{self.device} does not compute in {request.precision}", "choose " + " or ".join(can))
            return Network(request, inputs, outputs, gradients, self.device)

        return Remote(self.run, self.run(make))


class Remote:
    """A network whose methods run in the thread that computes."""

    def __init__(self, run, network):
        self._run, self._network = run, network

    def forward(self, name, samples, step):
        self._run(self._network.forward, name, samples, step)

    def backward(self, name):
        self._run(self._network.backward, name)

    def step(self, lr, momentum, weight_decay, encoder):
        return self._run(self._network.step, lr, momentum, weight_decay, encoder)

    def update_momentum(self, m):
        self._run(self._network.update_momentum, m)

    def read(self, arrays):
        self._run(self._network.read, arrays)

    def write(self, arrays):
        self._run(self._network.write, arrays)


if __name__ == "__main__":
    asterism.serve("torch", "0.1.0")
