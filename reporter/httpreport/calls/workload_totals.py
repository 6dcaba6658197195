"""Add up the kept calls by where their processes ran."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .lazy_table import LazyTable
from .schema import WORKLOAD, duration_ns
from .totals import Durations, Latencies, LatenciesByValue
from .workloads import Workload, Workloads


class TotalsByWorkload:
    """Add up the calls of one capture by where their processes ran, as they are read."""

    def __init__(self) -> None:
        self._latencies = LatenciesByValue(1)

    @property
    def nbytes(self) -> int:
        """Return roughly how many bytes `totals` will take."""
        return self._latencies.nbytes

    def add(self, calls: LazyTable) -> None:
        """Add the calls of a table, which has at least one."""
        numbers = self._latencies.intern(calls[WORKLOAD].astype(np.uint64))
        self._latencies.add(Durations(duration_ns(calls)), numbers)

    def totals(self, workloads: Workloads) -> Mapping[Workload, Latencies]:
        """Return the totals by workload; none if none is known."""
        ran = (workloads.values[number] for number in self._latencies.values[0].tolist())
        return dict(zip(ran, self._latencies.latencies())) if len(workloads) else {}
