"""This process as a plugin: its output, its line to the host, and the memory that comes over it.

Importing this module in a process that the host has started keeps what is printed out of the handshake, so it comes
before everything else. In every other process it does nothing.
"""

import mmap
import os
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
        data, fds, _, _ = socket.recv_fds(self._channel, _MESSAGE.size, 4)
        while data and len(data) < _MESSAGE.size:
            more = self._channel.recv(_MESSAGE.size - len(data))
            if not more:
                return False
            data += more
        if not data:
            return False
        what, arena, size, access = _MESSAGE.unpack(data)
        errno = 0
        if what == _SHARE:
            writable = access & 0xFFFFFFFF != _HOST_WRITES
            try:
                memory = mmap.mmap(fds[0], size, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
                self._table[arena] = memory, writable
            except OSError as e:
                errno = e.errno
        elif what == _RELEASE:
            self._table.pop(arena, None)  # it is unmapped when the last array on it is gone
        for fd in fds:
            os.close(fd)
        self._channel.sendall(_MESSAGE.pack(what, arena, 0, errno))
        return True


def _host_gone():
    """Ends this process and, as the host starts each plugin in a process group of its own, all its children."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _begin():
    if sys.argv[1:] == ["describe"]:
        real = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        return real, None
    if os.environ.get(_COOKIE[0]) != _COOKIE[1]:
        return None, None
    # Children of the author's code must not take themselves for plugins.
    del os.environ[_COOKIE[0]]
    channel = os.environ.pop(_CHANNEL, "")
    handshake = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the host ends us in order
    return handshake, Arenas(socket.socket(fileno=int(channel)))


#: The real standard output, for what is read by a program: the handshake, or the description; and the shared memory. None
#: where there is none.
stdout, arenas = _begin()
