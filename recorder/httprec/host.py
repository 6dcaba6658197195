"""Describe the host for a capture, and find the processes whose traffic is the recorder's own."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from httpbpf.layout import CALL_ROW, COMPLETION_ROW, CONNECTION_ROW, SHORT_ROW, Row
from httpbpf.program import Sizes
from httpcapture import JUDGED_WHOLE, NO_ROWS, Field, Layout, Meta
from httpcapture.codings import FIELD_CODINGS, SHORT_CODINGS

from . import __version__
from .check import read_text


def ignored_pids() -> list[int]:
    """Return the pids of this process and of the sshd sessions through which it was started, which may carry its
    output."""
    pids = [os.getpid()]
    pid = os.getppid()
    while pid > 1:
        name, _, rest = read_text(f"/proc/{pid}/stat").partition("(")[2].rpartition(")")
        if name.startswith("sshd"):
            pids.append(pid)
        pid = int(rest.split()[1]) if rest else 0
    return pids


def slept_ns() -> int:
    """Return how long the host has been suspended since boot: the best of five readings of two clocks."""
    return max(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns() for _ in range(5))


def _layout(row: Row, codings: Mapping[str, str] = FIELD_CODINGS) -> Layout:
    return Layout(row.size, tuple(Field(*field, codings.get(field.name, "")) for field in row.fields))


def _limits(sizes: Sizes) -> dict[str, int]:
    return dict(zip(sizes._fields, sizes))


def meta(
    threshold_ns: int, process_filters: Sequence[bytes], probes: str, sizes: Sizes, walk_problem: str = ""
) -> Meta:
    """Return the first record of a capture for a recording that starts now."""
    name, has_short = os.uname(), bool(sizes.short_ring_pages)
    return Meta(
        tool=f"httprec {__version__}",
        host=name.nodename,
        kernel=name.release,
        arch=name.machine,
        boot_id=read_text("/proc/sys/kernel/random/boot_id"),
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
        duration_rule=JUDGED_WHOLE,
        python_problem=walk_problem,
        short_layout=_layout(SHORT_ROW, SHORT_CODINGS) if has_short else NO_ROWS,
        connection_layout=_layout(CONNECTION_ROW) if has_short else NO_ROWS,
    )
