"""Errors of components on their way to the host."""

import os
import traceback

from google.protobuf import any_pb2

from . import asterism_pb2 as pb
from ._apply import LinkError
from .errors import FieldError, PluginError, ResourceError

_LONGEST_ERROR = 4 << 10  # bytes: errors travel in a header


def _author(trace):
    """A traceback from the author's first line on."""
    of_author = trace
    while of_author and os.path.dirname(of_author.tb_frame.f_code.co_filename) == os.path.dirname(__file__):
        of_author = of_author.tb_next
    return of_author or trace


def fault(error: BaseException) -> pb.Fault:
    f = pb.Fault()
    if isinstance(error, LinkError):
        f.link, error = error.position, error.error
    said = {}
    if isinstance(error, PluginError):
        f.cause, said = error.cause, {"what": error.what, "advice": error.advice}
        if isinstance(error, FieldError):
            said["field"] = error.field
    elif isinstance(error, MemoryError):
        f.cause, said = ResourceError.cause, {"what": f"memory is short: {error}" if str(error) else "memory is short"}
    else:
        try:
            text = str(error)
        except Exception:
            text = "an exception that cannot be printed"
        if isinstance(error, SystemExit):
            text = f"the component called sys.exit({text}); raise an error instead"
        said = {"what": f"{type(error).__name__}: {text}", "trace": "".join(traceback.format_exception(type(error), error, _author(error.__traceback__)))}
    for field, text in said.items():
        text = str(text).encode(errors="replace")
        if len(text) > _LONGEST_ERROR:  # a list of all columns, say
            text = b"\xe2\x80\xa6" + text[-_LONGEST_ERROR:] if field == "trace" else text[:_LONGEST_ERROR] + b"\xe2\x80\xa6"
        setattr(f, field, text.decode(errors="ignore"))
    return f


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    size, n = b"", len(payload)
    while n > 0x7F:
        size, n = size + bytes([n & 0x7F | 0x80]), n >> 7
    return bytes([number << 3 | 2]) + size + bytes([n]) + payload


def status(error: Exception) -> bytes:
    """A google.rpc.Status of code UNKNOWN with the fault as its detail."""
    detail = any_pb2.Any()
    detail.Pack(fault(error))
    return b"\x08\x02" + _field(2, b"the component failed") + _field(3, detail.SerializeToString())
