"""Check what the host can do. Every recording runs the first checks of one list; --check runs and shows all of them.

Nothing is concluded from version numbers. --check attaches the program that records, makes one call to itself, and
looks at what arrived of that call (self_test.py). Only rows of this process leave the kernel meanwhile.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Callable, NamedTuple, Optional

from httpbpf.btf import VMLINUX, BtfError, load_btf
from httpbpf.program import Sizes, build_program
from httpcapture.durations import duration_text

from . import privileges
from .bpf_maps import SYS_BPF
from .errors import RecorderError
from .loader import KPROBE_EVENTS, PROBES, import_bcc
from .self_test import SelfTest, run_self_test

_LOCKDOWN = "/sys/kernel/security/lockdown"
_CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
_MAX_FRAMES = "/proc/sys/kernel/perf_event_max_stack"
_INIT_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, include/linux/proc_ns.h
_BPF_MAP_CREATE, _BPF_MAP_TYPE_RINGBUF = 0, 27  # include/uapi/linux/bpf.h


class Finding(NamedTuple):
    """Hold the result of one check. `works` is None if it was not tried; `detail` is what was found, or what is wrong
    and what to do about it."""

    subject: str
    works: Optional[bool]
    detail: str


class Unavailable(RecorderError):
    """Report, in the table only, that a part of a recording is not possible on this host."""


def read_text(path: str) -> str:
    """Return the stripped text of a small file of the kernel, or "" if it cannot be read."""
    try:
        with open(path, errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _root() -> str:
    if os.geteuid() != 0:
        raise RecorderError("only root can attach probes: sudo httprec ...")
    return "running as root"


def _lockdown() -> str:
    state = read_text(_LOCKDOWN)
    if "[confidentiality]" in state:
        raise RecorderError(
            "the kernel is locked down (confidentiality) and cannot be probed: boot it without lockdown=confidentiality"
        )
    mode = re.search(r"\[(\w+)\]", state)
    return "off" if mode is None or mode[1] == "none" else f"{mode[1]}, which allows probes"


def _type_information() -> str:
    if not os.path.exists(VMLINUX):
        raise RecorderError(
            f"the kernel has no type information ({VMLINUX}): use one built with CONFIG_DEBUG_INFO_BTF=y"
        )
    return VMLINUX


def _pid_namespace() -> str:
    if os.readlink("/proc/self/ns/pid") != _INIT_PID_NAMESPACE:
        raise RecorderError("httprec runs in a container's pid namespace: start it on the host (docker: --pid=host)")
    return "that of the host"


def _bcc() -> str:
    return f"version {getattr(import_bcc(), '__version__', 'unknown')}"


def _functions_and_members() -> str:
    program = build_program(load_btf(), Sizes(), threshold_ns=0, filter_processes=True, probes="fexit")
    return f"{', '.join(program.functions)}; all {len(program.cflags)} constants of the program found"


def _capabilities() -> str:
    wanted = sorted({*privileges.TO_ATTACH, *privileges.KEPT})
    lacking = privileges.missing(wanted)
    if lacking:
        raise Unavailable(f"{', '.join(lacking)} missing: run on the host, or give them to the container")
    return ", ".join(wanted)


def _memory_lock() -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (ValueError, OSError):
        raise Unavailable(
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
        raise Unavailable(f"the kernel cannot create one: {os.strerror(ctypes.get_errno())}")
    os.close(fd)
    return "created one"


def _tracefs() -> str:
    for path in KPROBE_EVENTS:
        if os.access(path, os.W_OK):
            return path
    raise Unavailable(
        "kprobe_events is not writable: tracefs is not mounted, or the kernel was built without CONFIG_KPROBE_EVENTS"
    )


def _stack_copies(call: SelfTest) -> str:
    if not call.stack_bytes:
        raise Unavailable("no registers or stack bytes arrived with the test call: use --stack fp")
    return f"{call.stack_bytes} bytes of the test call's stack arrived"


def _frame_pointers(call: SelfTest) -> str:
    if not call.frames:
        raise Unavailable("no frames arrived with the test call: --stack fp does not work here")
    frames = f"{call.frames} frame{'' if call.frames == 1 else 's'} of the test call arrived"
    return f"{frames}; the kernel follows at most {read_text(_MAX_FRAMES) or 'an unknown number'}"


def _clock(call: SelfTest) -> str:
    if not call.clocks_agree:
        raise Unavailable("the kernel's times of the test call do not match CLOCK_MONOTONIC: all times will be wrong")
    return f"CLOCK_MONOTONIC; the kernel's clock source is {read_text(_CLOCK_SOURCE) or 'unknown'}"


_SELF_TEST_CHECKS = [("stack copies", _stack_copies), ("frame pointers", _frame_pointers), ("clock", _clock)]


def _attach(probes: str, seen: list[SelfTest]) -> str:
    try:
        call = run_self_test(probes)
    except RecorderError as error:
        raise Unavailable(str(error).partition(f"{probes}: ")[2] or str(error)) from None
    if call is None:
        raise Unavailable("the probes were attached, but the test call did not arrive")
    seen.append(call)
    return f"recorded a test call of {duration_text(call.took_ns)}"


_Checks = Sequence[tuple[str, Callable[[], str]]]
_RECORDING_CHECKS = [
    ("root", _root),
    ("lockdown", _lockdown),
    ("type information", _type_information),
    ("pid namespace", _pid_namespace),
]
_REQUIRED_CHECKS = [("python3-bpfcc", _bcc), ("kernel functions", _functions_and_members)]
_ROOT_CHECKS = [
    ("capabilities", _capabilities),
    ("memory lock", _memory_lock),
    ("BPF ring buffer", _ring_buffer),
    ("tracefs", _tracefs),
]


def _run(checks: _Checks, ready: bool = True) -> Iterator[Finding]:
    """Yield the result of each check as soon as it is known. Unless `ready`, no check is tried."""
    for subject, check in checks:
        if not ready:
            yield Finding(subject, None, "not tried, because a check above failed")
            continue
        try:
            yield Finding(subject, True, check())
        except (RecorderError, BtfError) as error:
            yield Finding(subject, False, str(error))


def problems() -> list[str]:
    """Return a line for each thing that a recording lacks, with what to do about it; none if it can be tried."""
    return [finding.detail for finding in _run(_RECORDING_CHECKS) if not finding.works]


def findings() -> Iterator[Finding]:
    """Yield the result of every check as soon as it is known; compiling the program takes seconds."""
    required = []
    for finding in _run(_RECORDING_CHECKS + _REQUIRED_CHECKS):
        required.append(finding)
        yield finding
    yield from _run(_ROOT_CHECKS, ready=os.geteuid() == 0)
    seen: list[SelfTest] = []
    probes = [(name, partial(_attach, name, seen)) for name in PROBES]
    yield from _run(probes, ready=all(finding.works for finding in required))
    self_test_checks = [(subject, partial(check, *seen[-1:])) for subject, check in _SELF_TEST_CHECKS]
    yield from _run(self_test_checks, ready=bool(seen))


def can_record(found: Iterable[Finding]) -> list[str]:
    """Return the kinds of probes that work, the best first. They are tried only if everything else that a recording
    needs works."""
    return [finding.subject for finding in found if finding.works and finding.subject in PROBES]
