"""Define the filters that ask where the process of a call ran: in which container or systemd unit, in which pod.

A container has a name only if its host said so, and a process has control groups only if it was still there when they
were read: of others it may not be known whether they pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..common import safe_regex
from .head_filters import Verdicts
from .schema import ColumnsByName
from .workloads import SHOWN_DIGITS, Workload, Workloads

_glob = lru_cache(maxsize=64)(safe_regex.glob)
_ID = re.compile(rf"[0-9a-f]{{{SHOWN_DIGITS},64}}")


@dataclass(frozen=True)
class ContainerFilter:
    """Ask for a container by a pattern of its name or by the first digits of its ID, or for a unit by a pattern."""

    text: str

    @classmethod
    def parse(cls, text: str) -> ContainerFilter:
        """Return the filter for what was given. Raises ValueError."""
        _glob(text)
        return cls(text)

    def judge(self, workload: Workload) -> bool | None:
        """Return whether this is asked for, or None if that is not known."""
        if workload.container_id and _ID.fullmatch(self.text):
            return workload.container_id.startswith(self.text) or workload.container == self.text
        if workload.container_id and not workload.container:
            return None
        return _glob(self.text).matches(workload.container or workload.unit)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class PodFilter:
    """Ask for a pod by a pattern of its name, of `NAMESPACE/NAME`, or by its UID."""

    text: str

    @classmethod
    def parse(cls, text: str) -> PodFilter:
        """Return the filter for what was given. Raises ValueError."""
        _glob(text)
        return cls(text)

    def judge(self, workload: Workload) -> bool | None:
        """Return whether this is asked for, or None if that is not known."""
        if workload.pod_uid and workload.pod_uid == self.text:
            return True
        if workload.pod_uid and not workload.pod:
            return None
        pattern = _glob(self.text)
        return bool(workload.pod) and (pattern.matches(workload.pod) or pattern.matches(workload.pod_text))

    def __str__(self) -> str:
        return self.text


def by_workload(
    calls: ColumnsByName, workloads: Workloads, filters: tuple[ContainerFilter, ...] | tuple[PodFilter, ...]
) -> Verdicts:
    """Ask for a workload that one of these filters means."""
    judged = [_any_of([each.judge(workload) for each in filters], workload) for workload in workloads.values]
    passing = np.array([verdict is True for verdict in judged], np.bool_)
    known = np.array([verdict is not None for verdict in judged], np.bool_)
    return Verdicts(passing[calls["workload"]], known[calls["workload"]])


def _any_of(verdicts: list[bool | None], workload: Workload) -> bool | None:
    if not workload.is_known:
        return None
    return True if True in verdicts else None if None in verdicts else False
