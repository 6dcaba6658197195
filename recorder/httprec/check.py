"""What the host must be able to do: one list, whose first part every recording asks and all of which --check shows.

Nothing is concluded from a version. What is in doubt is tried: --check attaches the very program that records, lets it
see one call that it makes to itself, and looks at what arrived. Only rows of this process leave the kernel meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Callable, NamedTuple, Optional

from httpbpf.btf import VMLINUX, BtfError, load
from httpbpf.program import Sizes, build
from httpcapture.durations import duration_text

from . import privileges
from .bpf_maps import SYS_BPF
from .errors import RecorderError
from .loader import KPROBE_EVENTS, PROBES, import_bcc
from .own_call import OwnCall, record_own_call

_LOCKDOWN = "/sys/kernel/security/lockdown"
_CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
_MAX_FRAMES = "/proc/sys/kernel/perf_event_max_stack"
_INIT_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, include/linux/proc_ns.h
_BPF_MAP_CREATE, _BPF_MAP_TYPE_RINGBUF = 0, 27  # include/uapi/linux/bpf.h


class Finding(NamedTuple):
    """One row: `works` is None where it was not tried; `says` is what was found, or what is wrong."""

    subject: str
    works: Optional[bool]
    says: str


class Lacking(RecorderError):
    """What only the table says: a part of a recording that is not possible here."""


def read_text(path: str) -> str:
    """A small file of the kernel; empty where there is none."""
    try:
        with open(path, errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _root() -> str:
    if os.geteuid() != 0:
        raise RecorderError("only root can attach probes: sudo httprec ...")
    return "is who runs this"


def _lockdown() -> str:
    said = read_text(_LOCKDOWN)
    if "[confidentiality]" in said:
        raise RecorderError(
            "the kernel is locked down (confidentiality) and lets nobody probe it: boot it without "
            "lockdown=confidentiality"
        )
    return said or f"no {_LOCKDOWN} says so"


def _type_information() -> str:
    if not os.path.exists(VMLINUX):
        raise RecorderError(
            f"the kernel has no type information ({VMLINUX}): use one built with CONFIG_DEBUG_INFO_BTF=y"
        )
    return VMLINUX


def _pid_namespace() -> str:
    if os.readlink("/proc/self/ns/pid") != _INIT_PID_NAMESPACE:
        raise RecorderError("httprec runs in a container's pid namespace: start it on the host (docker: --pid=host)")
    return "is the host's"


def _bcc() -> str:
    return f"version {getattr(import_bcc(), '__version__', 'unknown')}"


def _functions_and_members() -> str:
    program = build(load(), Sizes(), threshold_ns=0, filter_processes=True, probes="fexit")
    return f"{', '.join(program.functions)}, and all {len(program.cflags)} constants of the program"


def _capabilities() -> str:
    wanted = sorted({*privileges.TO_ATTACH, *privileges.KEPT})
    lacking = privileges.missing(wanted)
    if lacking:
        raise Lacking(f"without {', '.join(lacking)}: run on the host, or give them to the container")
    return ", ".join(wanted)


def _memory_lock() -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (ValueError, OSError):
        raise Lacking(
            f"cannot be raised above {hard >> 10} KiB (cap_sys_resource); kernels that count BPF maps refuse large ones"
        ) from None
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))
    return "can be raised"


def _ring_buffer() -> str:
    attributes = (ctypes.c_uint32 * 32)(_BPF_MAP_TYPE_RINGBUF, 0, 0, resource.getpagesize())
    libc = ctypes.CDLL(None, use_errno=True)
    number = SYS_BPF.get(os.uname().machine, -1)
    fd = libc.syscall(number, _BPF_MAP_CREATE, ctypes.byref(attributes), ctypes.sizeof(attributes))
    if fd < 0:
        raise Lacking(f"the kernel makes none: {os.strerror(ctypes.get_errno())}")
    os.close(fd)
    return "one was made"


def _tracefs() -> str:
    for path in KPROBE_EVENTS:
        if os.access(path, os.W_OK):
            return path
    raise Lacking("no kprobe_events: tracefs is not mounted, or the kernel was built without CONFIG_KPROBE_EVENTS")


def _stack_copies(call: OwnCall) -> str:
    if not call.stack_bytes:
        raise Lacking("registers and stack bytes are not where they are looked for: only --stack fp works")
    return f"{call.stack_bytes} bytes of the call's own stack arrived"


def _frame_pointers(call: OwnCall) -> str:
    if not call.frames:
        raise Lacking("no frame arrived: --stack fp does not work")
    return f"{call.frames} arrived, of at most {read_text(_MAX_FRAMES) or 'an unknown number'}"


def _clock(call: OwnCall) -> str:
    if not call.clocks_agree:
        raise Lacking("the kernel's times of the call are not those of CLOCK_MONOTONIC: all times will be wrong")
    return f"CLOCK_MONOTONIC, from {read_text(_CLOCK_SOURCE) or 'an unknown source'}"


_OF_A_CALL = [("stack copies", _stack_copies), ("frame pointers", _frame_pointers), ("clock", _clock)]


def _attach(probes: str, seen: list[OwnCall]) -> str:
    try:
        call = record_own_call(probes)
    except RecorderError as error:
        raise Lacking(str(error).partition(f"{probes}: ")[2] or str(error)) from None
    if call is None:
        raise Lacking("attached, but a call that was made did not arrive")
    seen.append(call)
    return f"a call that httprec made to itself arrived; it took {duration_text(call.took_ns)}"


_Checks = Sequence[tuple[str, Callable[[], str]]]
_BEFORE_EACH_RECORDING = [
    ("root", _root),
    ("lockdown", _lockdown),
    ("type information", _type_information),
    ("pid namespace", _pid_namespace),
]
_REQUIRED = [("python3-bpfcc", _bcc), ("kernel functions", _functions_and_members)]
_OF_ROOT = [
    ("capabilities", _capabilities),
    ("memory lock", _memory_lock),
    ("BPF ring buffer", _ring_buffer),
    ("tracefs", _tracefs),
]


def _find(checks: _Checks, ready: bool = True) -> Iterator[Finding]:
    """A row for each check, at once when it is known; none is tried unless `ready`."""
    for subject, look in checks:
        if not ready:
            yield Finding(subject, None, "not tried, for what is missing above")
            continue
        try:
            yield Finding(subject, True, look())
        except (RecorderError, BtfError) as error:
            yield Finding(subject, False, str(error))


def problems() -> list[str]:
    """One line for each thing that is missing, with what to do about it; empty where a recording can be tried."""
    return [finding.says for finding in _find(_BEFORE_EACH_RECORDING) if not finding.works]


def findings() -> Iterator[Finding]:
    """Every row, each as soon as it is known: to compile the program takes seconds."""
    required = []
    for finding in _find(_BEFORE_EACH_RECORDING + _REQUIRED):
        required.append(finding)
        yield finding
    yield from _find(_OF_ROOT, ready=os.geteuid() == 0)
    seen: list[OwnCall] = []
    probes = [(name, partial(_attach, name, seen)) for name in PROBES]
    yield from _find(probes, ready=all(finding.works for finding in required))
    arrived = [(subject, partial(look, *seen[-1:])) for subject, look in _OF_A_CALL]
    yield from _find(arrived, ready=bool(seen))


def can_record(found: Iterable[Finding]) -> list[str]:
    """The kinds of probes that work, the best one first; they are tried only where all else that is needed is there."""
    return [finding.subject for finding in found if finding.works and finding.subject in PROBES]
