"""Give up privileges: once the probes are attached, a recording keeps only capabilities that it needs, and gains none.

See capabilities(7). libc has capget and capset, so no library is needed. Their structs are version 3 of
include/uapi/linux/capability.h: effective, permitted and inheritable for capabilities 0 to 31, then for the others.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from typing import Callable

from .errors import RecorderError

_BITS = {
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
    "cap_dac_read_search",  # executables, and the folders above them, that only their users may read
    "cap_sys_ptrace",  # /proc/PID/maps, exe, mem and root of other users
)
TO_PROBE_LIBRARIES = ("cap_sys_admin",)  # perf_event_open(2) for uprobes
TO_ROTATE = ("cap_chown", "cap_dac_override", "cap_fowner")  # to create and delete files in a user's folder
_TO_READ_MAPS = "cap_bpf"  # not needed from 5.19 on, commit c8644cd0efe7
_IN_SYS_ADMIN = {"cap_perfmon", "cap_bpf", "cap_checkpoint_restore"}  # split off from cap_sys_admin in 5.8 and 5.9
_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_CAPABILITIES = 64  # how many version 3 has room for

_libc = ctypes.CDLL(None, use_errno=True)


def _call(function: str, *arguments: object) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        raise RecorderError(f"cannot give up privileges: {function}: {os.strerror(ctypes.get_errno())}")


def _header() -> ctypes.Array[ctypes.c_uint32]:
    return (ctypes.c_uint32 * 2)(_VERSION_3, 0)


def _get() -> tuple[int, int]:
    """Return this thread's effective and permitted capabilities as bit masks."""
    data = (ctypes.c_uint32 * 6)()
    _call("capget", _header(), data)
    return data[0] | data[3] << 32, data[1] | data[4] << 32


def _set(effective: int, permitted: int) -> None:
    low, high = ((effective >> shift & 0xFFFFFFFF, permitted >> shift & 0xFFFFFFFF, 0) for shift in (0, 32))
    _call("capset", _header(), (ctypes.c_uint32 * 6)(*low, *high))


def _has(mask: int, name: str) -> bool:
    return bool(mask & _BITS[name])


def missing(wanted: Iterable[str]) -> list[str]:
    """Return the capabilities in `wanted` that this thread lacks, both by name and as a part of cap_sys_admin."""
    effective, _ = _get()
    admin = _IN_SYS_ADMIN if _has(effective, "cap_sys_admin") else set()
    return [name for name in wanted if not _has(effective, name) and name not in admin]


def drop(reads_maps: Callable[[], bool], also: Iterable[str] = ()) -> None:
    """Give up every capability of this thread except KEPT and `also`, for itself and for every program that it
    executes.

    cap_bpf stays too if `reads_maps` returns that BPF maps cannot be read without it, and cap_sys_admin if it stands in
    for one of these. Raises RecorderError if the kernel refuses.
    """
    _, permitted = _get()
    names = {*KEPT, *also, _TO_READ_MAPS}
    if any(not _has(permitted, name) for name in names & _IN_SYS_ADMIN):
        names.add("cap_sys_admin")
    kept = permitted & sum(_BITS[name] for name in names)
    _set(kept & ~_BITS[_TO_READ_MAPS], permitted)
    if reads_maps():
        kept &= ~_BITS[_TO_READ_MAPS]
    _set(permitted, permitted)
    for number in range(_CAPABILITIES):
        if not kept >> number & 1:
            # The kernel refuses this for numbers above the last one, and without cap_setpcap. No_new_privs alone also
            # keeps programs from gaining a capability.
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _set(kept, kept)
