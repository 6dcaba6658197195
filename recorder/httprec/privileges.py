"""Once the probes are attached, a recording keeps the capabilities that it uses and can gain none again.

capabilities(7). libc has capget and capset, so nothing else is needed; their structs are those of
include/uapi/linux/capability.h, version 3: effective, permitted and inheritable of capabilities 0 to 31, then of the
others.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from typing import Callable

from .errors import RecorderError

_BIT = {
    "cap_chown": 1 << 0,
    "cap_dac_override": 1 << 1,
    "cap_dac_read_search": 1 << 2,
    "cap_fowner": 1 << 3,
    "cap_sys_ptrace": 1 << 19,
    "cap_sys_admin": 1 << 21,
    "cap_perfmon": 1 << 38,
    "cap_bpf": 1 << 39,
    "cap_checkpoint_restore": 1 << 40,
}
TO_ATTACH = ("cap_bpf", "cap_perfmon")
KEPT = (
    "cap_checkpoint_restore",  # /proc/PID/map_files, commit 12886f8ab10c
    "cap_dac_read_search",  # executables, and folders on the way to them, that only their users may read
    "cap_sys_ptrace",  # /proc/PID/maps, exe, mem and root of other users
)
TO_ROTATE = ("cap_chown", "cap_dac_override", "cap_fowner")  # to make and remove files in the folder of a user
_TO_READ_MAPS = "cap_bpf"  # not from 5.19 on, commit c8644cd0efe7
_IN_SYS_ADMIN = {"cap_perfmon", "cap_bpf", "cap_checkpoint_restore"}  # split off from it in 5.8 and 5.9
_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_MOST = 64  # capabilities that version 3 has room for

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: object) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        raise RecorderError(f"cannot give up privileges: {function}: {os.strerror(ctypes.get_errno())}")


def _header() -> ctypes.Array[ctypes.c_uint32]:
    return (ctypes.c_uint32 * 2)(_VERSION_3, 0)


def _get() -> tuple[int, int]:
    """What this thread may use, and what it may use if it wants: bit masks."""
    data = (ctypes.c_uint32 * 6)()
    _call("capget", _header(), data)
    return data[0] | data[3] << 32, data[1] | data[4] << 32


def _set(effective: int, permitted: int) -> None:
    low, high = ((effective >> shift & 0xFFFFFFFF, permitted >> shift & 0xFFFFFFFF, 0) for shift in (0, 32))
    _call("capset", _header(), (ctypes.c_uint32 * 6)(*low, *high))


def _has(mask: int, name: str) -> bool:
    return bool(mask & _BIT[name])


def missing(wanted: Iterable[str]) -> list[str]:
    """Those that this thread cannot use, neither under their own name nor as a part of cap_sys_admin."""
    effective, _ = _get()
    admin = _IN_SYS_ADMIN if _has(effective, "cap_sys_admin") else set()
    return [name for name in wanted if not _has(effective, name) and name not in admin]


def drop(reads_maps: Callable[[], bool], also: Iterable[str] = ()) -> None:
    """Gives up every capability of this thread but KEPT and `also`, for itself and for all that it may execute.

    cap_bpf stays too where `reads_maps` says that BPF maps cannot be read without, cap_sys_admin where it stands for
    one of these. Raises RecorderError where the kernel refuses.
    """
    _, permitted = _get()
    names = {*KEPT, *also, _TO_READ_MAPS}
    if any(not _has(permitted, name) for name in names & _IN_SYS_ADMIN):
        names.add("cap_sys_admin")
    kept = permitted & sum(_BIT[name] for name in names)
    _set(kept & ~_BIT[_TO_READ_MAPS], permitted)
    if reads_maps():
        kept &= ~_BIT[_TO_READ_MAPS]
    _set(permitted, permitted)
    for number in range(_MOST):
        if not kept >> number & 1:
            # Refused above the last one, and without cap_setpcap; no_new_privs alone lets no program gain it either.
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _set(kept, kept)
