"""Load the programs to which probes make tail calls: the walks of frames of interpreters and of HTTP/2."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

from httpbpf.btf import Btf
from httpbpf.layout import ENUMS

from .bpf_maps import BpfMap
from .bpf_programs import chain, load_tail, with_map

_U32 = struct.Struct("<I")
FRAME_WALKERS = tuple(
    (f"walk_{name.lower()}", number) for number, name in enumerate(ENUMS["language"]) if name != "NO_LANGUAGE"
)
"""The programs that walk frames of interpreters, and the numbers of their languages."""


class Tails:
    """Load programs from a module that BCC's library has compiled, whose probes are of one kind (loader.PROBES).

    Each method raises OSError, and BtfError if the kernel does not know the probed function.
    """

    def __init__(self, library: Any, module: Any, btf: Btf, probes: str) -> None:
        self._library, self._module = library, module
        self._btf, self._probes = btf, probes

    def _code(self, name: bytes) -> bytes:
        """Return the instructions of a compiled function."""
        size = self._library.bpf_function_size(self._module, name)
        return ctypes.string_at(self._library.bpf_function_start(self._module, name), size)

    def load_plaintext_walker(self, send_walkers: int, plaintext_walkers: int, steps: int) -> int:
        """Load the program that walks what TLS libraries have read (http2_walk.h), which probes in user space call, and
        return its descriptor."""
        code = with_map(chain([self._code(b"walk_plaintext")] * steps), send_walkers, plaintext_walkers)
        fd = load_tail("walk_plaintext", code, "kprobe", 0, at_entry=True)
        BpfMap(plaintext_walkers, _U32.size, _U32.size).put(_U32.pack(0), _U32.pack(fd))
        return fd

    def _load(self, name: str, code: bytes, function: str, array: int, index: int = 0, *, at_entry: bool) -> int:
        """Load a program, which fexit probes of a kernel function can call, and put it into the array for it."""
        function_id = self._btf.function_id(function) if self._probes == "fexit" else 0
        fd = load_tail(name, code, self._probes, function_id, at_entry=at_entry)
        BpfMap(array, _U32.size, _U32.size).put(_U32.pack(index), _U32.pack(fd))
        return fd

    def load_frame_walkers(self, walkers: int) -> list[int]:
        """Load the programs that walk frames of interpreters (walks.h), and return their descriptors."""
        return [
            self._load(name, self._code(name.encode()), "tcp_sendmsg", walkers, language, at_entry=True)
            for name, language in FRAME_WALKERS
        ]

    def load_stream_walkers(self, send_walkers: int, receive_walkers: int, steps: int) -> list[int]:
        """Load the programs that walk what was sent and what was received (http2_walk.h), and return their descriptors.

        With fexit, all programs that call those of one array must be at one function. So what walks received bytes
        calls itself by an array of its own.
        """
        step = self._code(b"walk_streams")
        received = chain([self._code(b"begin_walk_of_receive"), *[step] * steps])
        received = with_map(received, send_walkers, receive_walkers)
        return [
            self._load("walk_sent", chain([step] * steps), "tcp_sendmsg", send_walkers, at_entry=False),
            self._load("walk_received", received, "tcp_recvmsg", receive_walkers, at_entry=False),
        ]
