"""Read and write maps of the BPF program by their file descriptors, through bpf(2) and without BCC."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Iterator

SYS_BPF = {"x86_64": 321, "aarch64": 280}
_CREATE, _LOOKUP, _UPDATE, _DELETE, _NEXT_KEY = 0, 1, 2, 3, 4  # enum bpf_cmd, include/uapi/linux/bpf.h
_POSSIBLE_CPUS = "/sys/devices/system/cpu/possible"

Buffer = ctypes.Array[ctypes.c_char]

_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    """Describe union bpf_attr for BPF_MAP_*_ELEM; for _NEXT_KEY, `value` is the next key."""

    _fields_ = (
        ("map_fd", ctypes.c_uint64),  # a u32, and padding
        ("key", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


def cpus() -> int:
    """Return how many values a per-CPU map has for each key."""
    with open(_POSSIBLE_CPUS) as file:
        return int(re.findall(r"\d+", file.read())[-1]) + 1


def bpf(command: int, attributes: ctypes.Structure | ctypes.Array[ctypes.c_uint32]) -> int:
    """Call bpf(2) and return its result. Raises OSError."""
    number, size = SYS_BPF.get(os.uname().machine, -1), ctypes.sizeof(attributes)
    result = int(_libc.syscall(number, command, ctypes.byref(attributes), size))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def create(kind: int, key_size: int, value_size: int, entries: int) -> int:
    """Return the file descriptor of a new map; `kind` is from enum bpf_map_type. Raises OSError."""
    fd = bpf(_CREATE, (ctypes.c_uint32 * 32)(kind, key_size, value_size, entries))
    os.set_inheritable(fd, False)
    return fd


class BpfMap:
    """Access one map with keys of `key_size` bytes. For a per-CPU map, `value_size` is the size of all values, each
    rounded up to 8 bytes. A stack has no keys."""

    def __init__(self, fd: int, key_size: int, value_size: int) -> None:
        self._fd, self._key_size, self._value_size = fd, key_size, value_size

    def _call(self, command: int, key: Buffer | None, value: Buffer | None) -> None:
        """Run a command on the map. Raises OSError."""
        addresses = (0 if buffer is None else ctypes.addressof(buffer) for buffer in (key, value))
        bpf(command, _Attributes(self._fd, *addresses, 0))

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None if the map has no such key. Raises OSError if it may not be read."""
        value = ctypes.create_string_buffer(self._value_size)
        try:
            self._call(_LOOKUP, ctypes.create_string_buffer(key, self._key_size), value)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return value.raw

    def put(self, key: bytes, value: bytes) -> None:
        """Set a value. Raises OSError."""
        new = ctypes.create_string_buffer(value, self._value_size)
        self._call(_UPDATE, ctypes.create_string_buffer(key, self._key_size), new)

    def delete(self, key: bytes) -> bool:
        """Remove a key, and return whether the map had it. Raises OSError."""
        try:
            self._call(_DELETE, ctypes.create_string_buffer(key, self._key_size), None)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def push(self, value: bytes) -> None:
        """Put a value on top of a stack. Raises OSError."""
        self._call(_UPDATE, None, ctypes.create_string_buffer(value, self._value_size))

    def keys(self) -> Iterator[bytes]:
        """Yield the keys. Some may occur twice while the map changes. Raises OSError."""
        key: Buffer | None = None
        while True:
            following = ctypes.create_string_buffer(self._key_size)
            try:
                self._call(_NEXT_KEY, key, following)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return
                raise
            yield following.raw
            key = following
