"""What there is to compute with, and what its errors mean."""

import os
import re

import asterism_plugin as asterism
import torch

torch.backends.cudnn.benchmark = False  # it would choose by the clock what to compute with
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32 is float32
if hasattr(torch.utils, "deterministic"):
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing here reads any


def find(name: str) -> torch.device:
    """The device of a name, or why there is none."""
    if name == "cpu":
        return torch.device("cpu")
    there = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    device = "cuda:0" if name == "cuda" else name
    if device not in there:
        if there:
            seen = ", ".join(f"{d} ({torch.cuda.get_device_name(d)})" for d in there)
        elif torch.version.cuda or torch.version.hip:
            seen = "no GPU"
        else:
            seen = "no GPU, as it is built without CUDA"
        raise asterism.FieldError("device", f"there is no {name}: PyTorch {torch.__version__} sees {seen}", "choose " + " or ".join(["cpu"] + there))
    return torch.device(device)


def report(device: torch.device) -> asterism.Capabilities:
    """What the engine can do there."""
    answer = asterism.Capabilities(opset=2, device=f"cpu (PyTorch {torch.__version__})", precisions=["float32", "bfloat16", "float64"])
    if device.type == "cuda":
        answer.device = f"{device} ({torch.cuda.get_device_name(device)}, PyTorch {torch.__version__})"
        answer.memory_bytes = torch.cuda.mem_get_info(device)[0]
        if not torch.cuda.is_bf16_supported():
            answer.precisions.remove("bfloat16")
    return answer


def processors() -> int:
    """How many threads use all that we may: PyTorch's own choice can be fewer."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def guarded(deterministic: bool, f, *arguments):
    """f(*arguments), with errors of PyTorch that the user can do something about in the user's words."""
    if torch.are_deterministic_algorithms_enabled() != deterministic:
        torch.use_deterministic_algorithms(deterministic)
    try:
        return f(*arguments)
    except RuntimeError as e:
        text = str(e)
        if "out of memory" in text or "allocate memory" in text:
            raise asterism.ResourceError(f"PyTorch has not enough memory: {_sentence(text, 'memory')}", "choose a smaller batch or encoder, or the precision bfloat16; on a GPU see what else runs there") from e
        if "deterministic" in text and "use_deterministic_algorithms" in text:
            raise asterism.FieldError("deterministic", f"true cannot be had here: {_sentence(text, 'deterministic')}", "set deterministic: false, or choose the device cpu or another model") from e
        raise


def _sentence(text: str, word: str) -> str:
    """The sentence of a message that has a word: before it may stand a place in PyTorch's source."""
    return next(part.strip(" .") for part in re.split(r"\.\s|\n", text) if word in part)
