"""A `Selection` says which calls a report is about: those at least so slow, of processes of these names.

`-p NAME` matches the name of the thread or of its process: exactly, case-sensitively, in the 15 bytes that
the kernel keeps; a name with `*`, `?` or `[` is a shell pattern. The recorder's -p means the same, so a
capture of all calls filtered here equals a capture recorded with the filter.
"""

from __future__ import annotations

import fnmatch
import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from httpcapture import Meta

from .calls import Array, duration_ns
from .clean import printable

COMM_BYTES = 15  # TASK_COMM_LEN - 1


@dataclass(frozen=True)
class Selection:
    """Calls of at least `threshold_ns` whose thread or process one of `names` matches (no names: every
    one)."""

    threshold_ns: int
    names: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, meta: Meta, milliseconds: float | None, names: tuple[str, ...]) -> Selection:
        """What the command line asks for; without a threshold the capture's own."""
        threshold = meta.threshold_ns if milliseconds is None else round(milliseconds * 1_000_000)
        return cls(threshold, tuple(os.fsencode(name) for name in names))

    def mask(self, calls: Array) -> npt.NDArray[np.bool_]:
        """True for each call that is kept."""
        slow = duration_ns(calls) >= np.uint64(self.threshold_ns)
        if not self.names:
            return np.asarray(slow)
        return np.asarray(slow & (self._named(calls["comm"]) | self._named(calls["process"])))

    def _named(self, comms: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bool_]:
        distinct, inverse = np.unique(comms, return_inverse=True)
        hits = [any(matches(name, comm) for name in self.names) for comm in distinct.tolist()]
        return np.asarray(np.array(hits, np.bool_)[inverse])

    def __str__(self) -> str:
        calls = "all calls" if self.threshold_ns == 0 else f"calls >= {self.threshold_ns / 1e6:g} ms"
        return calls + (" of " + ", ".join(map(printable, self.names)) if self.names else "")


def is_pattern(name: bytes) -> bool:
    return any(character in name for character in (b"*", b"?", b"["))


def matches(name: bytes, comm: bytes) -> bool:
    """Whether a -p NAME matches a comm."""
    if is_pattern(name):
        return fnmatch.fnmatchcase(comm, name)
    return comm == name[:COMM_BYTES]


def covered(name: bytes, filters: tuple[bytes, ...]) -> bool:
    """Whether a capture recorded with these -p filters holds every call that -p NAME asks for. Of two
    different patterns nobody can say."""
    if is_pattern(name):
        return name in filters
    return any(matches(pattern, name[:COMM_BYTES]) for pattern in filters)
