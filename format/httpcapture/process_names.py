"""Decide which process names -p NAME means. Recorder and reporter share this code, so that they decide alike.

A name with `*`, `?` or `[` is a shell pattern. Any other name is compared with the bytes that the kernel keeps.
"""

from __future__ import annotations

import fnmatch

COMM_BYTES = 15  # bytes of a name that the kernel keeps: TASK_COMM_LEN without the final 0
_SPECIAL = b"*?["


def is_pattern(name: bytes) -> bool:
    """Return whether a name is a shell pattern."""
    return any(byte in _SPECIAL for byte in name)


def kept(name: bytes) -> bytes:
    """Return a name as the kernel keeps it: its first 15 bytes. A shell pattern stays as it is."""
    return name if is_pattern(name) else name[:COMM_BYTES]


def matches(name: bytes, comm: bytes) -> bool:
    """Return whether a comm is one that -p NAME means."""
    return fnmatch.fnmatchcase(comm, name) if is_pattern(name) else comm == kept(name)
