"""Add up the kept calls by what they ask for, and count those that failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from httpcapture import Outcome

from ..routes.patterns import RoutePatterns
from .call_heads import CallHeads
from .http_head import parse_response
from .lazy_table import LazyTable
from .request_keys import RequestKey, RequestKeys
from .schema import duration_ns
from .totals import Durations, Latencies, LatenciesByValue, with_room

FIRST_ERROR = 400  # status
_GRPC_STATUS = b"\ngrpc-status: "


class RoleRequest(NamedTuple):
    """Identify the calls of one role that ask for one thing."""

    role: int
    request: RequestKey


@dataclass(frozen=True)
class RouteTotals:
    """Hold the totals of a set of calls, and how many of them failed: by a status of 400 or more, by a status of gRPC
    other than 0, or because the connection ended before an answer."""

    latencies: Latencies
    errors: int = 0

    def __add__(self, other: RouteTotals) -> RouteTotals:
        return RouteTotals(self.latencies + other.latencies, self.errors + other.errors)


class TotalsByRequest:
    """Add up the calls of one capture as they are read, if it has heads."""

    def __init__(self, heads: CallHeads, patterns: RoutePatterns) -> None:
        self.keys = RequestKeys(heads, patterns) if len(heads) else None
        self._failed = np.array([_has_failed(text) for text in heads.texts], np.bool_)  # by place
        self._latencies = LatenciesByValue(1)
        self._errors = np.zeros((1, 0), np.uint64)

    @property
    def nbytes(self) -> int:
        """Return roughly how many bytes `totals` will take."""
        return self._latencies.nbytes

    def add(self, calls: LazyTable) -> None:
        """Add the calls of a table, which has at least one."""
        if self.keys is None:
            return
        requests = self.keys.numbers(calls["request"]).astype(np.uint64)
        numbers = self._latencies.intern(requests << np.uint64(8) | calls["role"])
        self._latencies.add(Durations(duration_ns(calls)), numbers)
        self._errors = with_room(self._errors, len(self._latencies))
        np.add.at(self._errors[0], numbers, self._are_errors(calls))

    def totals(self) -> Mapping[RoleRequest, RouteTotals]:
        """Return the totals by role and request."""
        if self.keys is None:
            return {}
        kinds = ((kind & 0xFF, self.keys.keys[kind >> 8]) for kind in self._latencies.values[0].tolist())
        errors = self._errors[0].tolist()
        return {
            RoleRequest(*kind): RouteTotals(latencies, count)
            for kind, latencies, count in zip(kinds, self._latencies.latencies(), errors)
        }

    def _are_errors(self, calls: LazyTable) -> npt.NDArray[np.bool_]:
        outcome = calls["outcome"]
        unanswered = (outcome == Outcome.EOF) | (outcome == Outcome.RESET) | (outcome == Outcome.CLOSED)
        return np.asarray(unanswered | (calls["status"] >= FIRST_ERROR) | self._failed[calls["response"]])


def _has_failed(text: bytes) -> bool:
    """Return whether the head of a response says that a gRPC call failed."""
    return _GRPC_STATUS in text and parse_response(text).grpc_status not in (None, 0)
