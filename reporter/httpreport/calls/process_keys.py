"""Define `ProcessKey`, by which calls, stacks and records of processes refer to a process."""

from __future__ import annotations

from dataclasses import dataclass

from httpcapture import Meta


@dataclass(frozen=True)
class ProcessKey:
    """Identify a process by its pid and start.

    The start is in clock ticks, as in /proc, since events have it in nanoseconds and /proc has not.
    """

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, meta: Meta, pid: int, start_ns: int) -> ProcessKey:
        """Return the key of a process of this capture that started `start_ns` ns after the boot."""
        return cls(pid, start_ns * meta.clock_ticks // 1_000_000_000)
