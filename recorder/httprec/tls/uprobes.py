"""Attach a loaded program to an instruction of a file, in all processes that have mapped it.

This takes perf_event_open(2) and cap_perfmon. The kernel opens the file by a path (perf_uprobe_init,
kernel/trace/trace_event_perf.c), here of a descriptor, so that it may be in another mount namespace or deleted.
"""

from __future__ import annotations

import ctypes
import fcntl
import os

_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_KIND = "/sys/bus/event_source/devices/uprobe/type"
_SET_BPF, _ENABLE = 0x40042408, 0x2400  # PERF_EVENT_IOC_*, include/uapi/linux/perf_event.h
_CLOSE_ON_EXEC = 8  # PERF_FLAG_FD_CLOEXEC
_ALL_PROCESSES, _ANY_PROCESSOR, _NO_GROUP = -1, 0, -1  # a program runs on every processor, whichever is named

_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    """Describe struct perf_event_attr up to config2 (PERF_ATTR_SIZE_VER1)."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("uprobe_path", ctypes.c_uint64),
        ("probe_offset", ctypes.c_uint64),
    )


def attach(program: int, file: int, offset: int) -> int:
    """Return a descriptor; the program runs at this offset of the file until it is closed. Raises OSError."""
    with open(_KIND) as kind:
        number = int(kind.read())
    path = ctypes.create_string_buffer(f"/proc/self/fd/{file}".encode())
    attributes = _Attributes(
        type=number,
        size=ctypes.sizeof(_Attributes),
        uprobe_path=ctypes.addressof(path),
        probe_offset=offset,
    )
    event = int(
        _libc.syscall(
            ctypes.c_long(_PERF_EVENT_OPEN[os.uname().machine]),
            ctypes.byref(attributes),
            ctypes.c_long(_ALL_PROCESSES),
            ctypes.c_long(_ANY_PROCESSOR),
            ctypes.c_long(_NO_GROUP),
            ctypes.c_ulong(_CLOSE_ON_EXEC),
        )
    )
    if event < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        fcntl.ioctl(event, _SET_BPF, program)
        fcntl.ioctl(event, _ENABLE, 0)
    except OSError:
        os.close(event)
        raise
    return event
