"""Attach to libraries that processes map while the recording runs, in a process of its own, the only one that keeps the
capability for it: recent kernels let only cap_sys_admin probe executables. It does nothing else, and ends with the
recorder. A probe stays attached as long as the recorder holds its descriptor.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
from collections.abc import Mapping
from typing import NoReturn

from .. import privileges
from ..errors import RecorderError
from .uprobes import attach

_REQUEST, _ANSWER = struct.Struct("<IQ"), struct.Struct("<i")  # a program's number, and an offset; an error number
_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Attacher:
    """Attach loaded programs, given by their names. Raises RecorderError if the kernel takes no other privileges."""

    def __init__(self, programs: Mapping[str, int]) -> None:
        self._numbers = {name: number for number, name in enumerate(programs)}
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._child = os.fork()
        if not self._child:
            self._socket.close()
            _serve(theirs, list(programs.values()))
        theirs.close()

    def close(self) -> None:
        """End the process. What is attached stays attached."""
        self._socket.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._child, 0)

    def attach(self, program: str, file: int, offset: int) -> int:
        """Return a descriptor; the program runs at this offset of the file until it is closed. Raises OSError."""
        socket.send_fds(self._socket, [_REQUEST.pack(self._numbers[program], offset)], [file])
        answer, fds, _, _ = socket.recv_fds(self._socket, _ANSWER.size, 1)
        for fd in fds:
            os.set_inheritable(fd, False)
        if not fds:
            error = _ANSWER.unpack(answer)[0] if len(answer) == _ANSWER.size else 0
            raise OSError(error, os.strerror(error) if error else "the process that attaches has ended")
        return fds[0]


def _serve(requests: socket.socket, programs: list[int]) -> NoReturn:
    """Attach what is asked for, until the recorder closes its end."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        privileges.drop(lambda: True, privileges.TO_PROBE_LIBRARIES)
        while _answer(requests, programs):
            pass
        status = 0
    except (OSError, RecorderError):
        pass  # the recorder reads the end of the connection
    finally:
        os._exit(status)


def _answer(requests: socket.socket, programs: list[int]) -> bool:
    """Do what one request asks for. Return False at the end of the connection. Raises OSError."""
    request, files, _, _ = socket.recv_fds(requests, _REQUEST.size, 1)
    if not request:
        return False
    number, offset = _REQUEST.unpack(request)
    try:
        event = attach(programs[number], files[0], offset)
    except OSError as error:
        requests.send(_ANSWER.pack(error.errno or 0))
    else:
        socket.send_fds(requests, [_ANSWER.pack(0)], [event])
        os.close(event)
    for file in files:
        os.close(file)
    return True
