"""The capabilities that a recording uses, and which of them are there.

capabilities(7). libc has capget and capset, so nothing else is needed; their structs are those of
include/uapi/linux/capability.h, version 3: effective, permitted and inheritable of capabilities 0 to 31, then of the
others.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

_NUMBERS = {
    "cap_dac_read_search": 2,
    "cap_sys_ptrace": 19,
    "cap_sys_admin": 21,
    "cap_perfmon": 38,
    "cap_bpf": 39,
    "cap_checkpoint_restore": 40,
}
TO_ATTACH = ("cap_bpf", "cap_perfmon")
KEPT = (
    "cap_bpf",  # to read BPF maps; not from 5.19 on, commit c8644cd0efe7
    "cap_checkpoint_restore",  # /proc/PID/map_files, commit 12886f8ab10c
    "cap_dac_read_search",  # executables, and folders on the way to them, that only their users may read
    "cap_sys_ptrace",  # /proc/PID/maps, exe, mem and root of other users
)
_IN_SYS_ADMIN = {"cap_perfmon", "cap_bpf", "cap_checkpoint_restore"}  # split off from it in 5.8 and 5.9
_VERSION_3 = 0x20080522
_MOST = 64  # capabilities that version 3 has room for

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: object) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"cannot tell privileges: {function}")


def _header() -> ctypes.Array[ctypes.c_uint32]:
    return (ctypes.c_uint32 * 2)(_VERSION_3, 0)


def _numbers(first: int) -> set[int]:
    """What this thread has: effective (`first` is 0) or permitted (1)."""
    data = (ctypes.c_uint32 * 6)()
    _call("capget", _header(), data)
    mask = data[first] | data[first + 3] << 32
    return {number for number in range(_MOST) if mask >> number & 1}


def missing(wanted: Iterable[str]) -> list[str]:
    """Those that this thread cannot use now."""
    usable = _numbers(0)
    has_admin = _NUMBERS["cap_sys_admin"] in usable
    return [name for name in wanted if _NUMBERS[name] not in usable and not (has_admin and name in _IN_SYS_ADMIN)]
