"""Order and identify what is written into a trace, so that all reports of a capture give the same."""

from __future__ import annotations

import hashlib

import numpy as np

from httpcapture import Meta

from ..calls.open_intervals import Indices
from ..calls.schema import ColumnsByName


def by_process(calls: ColumnsByName) -> Indices:
    """Return the indices of calls, those of each process together, in the order in which they began."""
    return np.lexsort((calls["t0"], calls["process_start"], calls["pid"]))


def name_of(meta: Meta) -> str:
    """Return a text that tells recordings apart."""
    return f"{meta.boot_id} {meta.run} {meta.started_realtime_ns}"


def digest(text: str, size: int) -> bytes:
    """Return so many bytes that only this text has, as far as that is possible."""
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=size).digest()
