"""This process as a plugin: its output, its line to the host, and the memory that comes over it.

Importing this module in a process that the host has started keeps what is printed out of the handshake, so it comes
before everything else. In every other process it does nothing.
"""

import ctypes
import errno
import faulthandler
import mmap
import os
import select
import signal
import socket
import struct
import sys
import threading

_COOKIE = ("ASTERISM_PLUGIN", "asterism-plugin-1d6f0e5c")
_CHANNEL = "ASTERISM_CHANNEL_FD"
_MESSAGE = struct.Struct("<IIQQ")  # what, arena, size, access or errno
_SHARE, _RELEASE = 1, 2
_HOST_WRITES = 0


class Arenas:
    """The memory that the host has shared, by number."""

    def __init__(self, channel: socket.socket):
        self._channel = channel
        self._table = {}
        threading.Thread(target=self._receive, name="arenas", daemon=True).start()

    def memory(self, arena: int):
        """The memory of an arena, and whether it may be written."""
        try:
            return self._table[arena]
        except KeyError:
            raise RuntimeError(f"there is no arena {arena}") from None

    def _receive(self):
        try:
            while self._answer():
                pass
        finally:
            _host_gone()

    def _answer(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._channel, _MESSAGE.size, 4, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        while data and len(data) < _MESSAGE.size:
            more = self._channel.recv(_MESSAGE.size - len(data))
            if not more:
                return False
            data += more
        if not data:
            return False
        what, arena, size, access = _MESSAGE.unpack(data)
        number = 0
        if what == _SHARE:
            writable = access & 0xFFFFFFFF != _HOST_WRITES
            try:
                if not fds:
                    raise OSError(errno.EBADF, "no descriptor came along")
                memory = mmap.mmap(fds[0], size, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
                self._table[arena] = memory, writable
            except OSError as e:
                number = e.errno
            except (ValueError, OverflowError):  # the file is smaller than it is said to be
                number = errno.EINVAL
        elif what == _RELEASE:
            self._table.pop(arena, None)  # it is unmapped when the last array on it is gone
        for fd in fds:
            os.close(fd)
        self._channel.sendall(_MESSAGE.pack(what, arena, 0, number))
        return True


def _host_gone():
    """Ends this process and, as the host starts each plugin in a process group of its own, all its children."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _watch(channel: int):
    """Starts a process that ends this one and its children when the host is gone, also while code in C holds the
    interpreter's lock, so that no thread of ours could do it. It waits for the end of the line and reads nothing from it."""
    group = os.getpid()
    if os.getpgrp() != group:
        return
    try:
        if os.fork():
            return
    except OSError:  # too many processes: the thread that reads from the line must do
        return
    try:
        for first, last in ((0, channel), (channel + 1, 1024)):
            os.closerange(first, last)
        line = select.poll()
        line.register(channel, 0)
        line.poll()
        os.killpg(group, signal.SIGKILL)
    finally:
        os._exit(0)


def _line_by_line():
    """Has what libraries in C print go out with each line, as Python's prints do: a process that dies flushes nothing."""
    try:
        libc = ctypes.CDLL(None)
        stdout = ctypes.c_void_p.in_dll(libc, "__stdoutp" if sys.platform == "darwin" else "stdout")
        libc.setvbuf(stdout, None, 1, ctypes.c_size_t(0))  # 1: _IOLBF
    except (OSError, ValueError, AttributeError):
        pass  # another C library


def _begin():
    if sys.argv[1:] == ["describe"]:
        real = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        return real, None
    if os.environ.get(_COOKIE[0]) != _COOKIE[1]:
        return None, None
    # Children of the author's code must not take themselves for plugins.
    del os.environ[_COOKIE[0]]
    text = os.environ.pop(_CHANNEL, "")
    handshake = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    _line_by_line()
    faulthandler.enable(all_threads=False)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the host ends us in order
    try:
        channel = socket.socket(fileno=int(text))
    except (OSError, ValueError) as e:
        sys.exit(f"the channel to the host, {_CHANNEL}={text!r}: {e}")
    channel.set_inheritable(False)
    _watch(channel.fileno())
    return handshake, Arenas(channel)


#: The real standard output, for what is read by a program: the handshake, or the description; and the shared memory. None
#: where there is none.
stdout, arenas = _begin()
