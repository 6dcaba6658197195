"""What must be true of the host before a recording starts, and what the capture says of it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from httpbpf.btf import VMLINUX
from httpbpf.layout import CALL_ROW, COMPLETION_ROW, Row
from httpbpf.program import Sizes
from httpcapture import Field, Layout, Meta

from . import __version__

_LOCKDOWN = "/sys/kernel/security/lockdown"
_CODINGS = {
    **dict.fromkeys(("t0", "t1", "t2", "t3", "sequence"), "delta"),
    **dict.fromkeys(("sent", "received"), "planes"),
}
_INIT_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, include/linux/proc_ns.h


def _read_text(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def problems() -> list[str]:
    """One line for each thing that is missing, with what to do about it; empty where a recording can be tried."""
    found = []
    if os.geteuid() != 0:
        found.append("only root can attach probes: sudo httprec ...")
    if "[confidentiality]" in _read_text(_LOCKDOWN):
        found.append(
            "the kernel is locked down (confidentiality) and lets nobody probe it: boot it without "
            "lockdown=confidentiality"
        )
    if not os.path.exists(VMLINUX):
        found.append(f"the kernel has no type information ({VMLINUX}): use one built with CONFIG_DEBUG_INFO_BTF=y")
    if os.readlink("/proc/self/ns/pid") != _INIT_PID_NAMESPACE:
        found.append("httprec runs in a container's pid namespace: start it on the host (docker: --pid=host)")
    return found


def ignored_pids() -> list[int]:
    """Our own process, and the sshd sessions that we were started through: our output may travel by them."""
    pids = [os.getpid()]
    pid = os.getppid()
    while pid > 1:
        name, _, rest = _read_text(f"/proc/{pid}/stat").partition("(")[2].rpartition(")")
        if name.startswith("sshd"):
            pids.append(pid)
        pid = int(rest.split()[1]) if rest else 0
    return pids


def _layout(row: Row) -> Layout:
    return Layout(row.size, tuple(Field(*field, _CODINGS.get(field.name, "")) for field in row.fields))


def _limits(sizes: Sizes) -> dict[str, int]:
    return dict(zip(sizes._fields, sizes))


def meta(threshold_ns: int, process_filters: Sequence[bytes], probes: str, sizes: Sizes) -> Meta:
    """The capture's first record, for a recording that starts now."""
    name = os.uname()
    return Meta(
        tool=f"httprec {__version__}",
        host=name.nodename,
        kernel=name.release,
        arch=name.machine,
        boot_id=_read_text("/proc/sys/kernel/random/boot_id"),
        started_monotonic_ns=time.monotonic_ns(),
        started_realtime_ns=time.time_ns(),
        threshold_ns=threshold_ns,
        process_filters=tuple(process_filters),
        probes=probes,
        clock_ticks=os.sysconf("SC_CLK_TCK"),
        page_size=os.sysconf("SC_PAGE_SIZE"),
        limits=_limits(sizes),
        call_layout=_layout(CALL_ROW),
        completion_layout=_layout(COMPLETION_ROW),
    )
