"""Count the values that calls have, so that a report without calls can list the values that its filters could have
selected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from httpcapture import Outcome, Role
from httpcapture.addresses import address_text, endpoint

from ..common.interning import Words, bytes_of, words_of
from ..common.printable import comm, printable
from ..routes.patterns import NO_PATTERNS, RoutePatterns
from ..routes.shapes import shape_of
from .call import enum_text
from .call_heads import CallHeads
from .http_head import RequestHead, parse_request
from .lazy_table import Column, Indices, LazyTable
from .protocol import Encrypted, Kind
from .schema import duration_ns
from .totals import Durations, Totals, TotalsByValue
from .workloads import Workload, Workloads

FIELD_COLUMNS = {
    "processes": ("process",),
    "pids": ("pid",),
    "roles": ("role",),
    "peers": ("peer_address", "peer_port"),
    "kinds": ("kind",),
    "outcomes": ("outcome",),
    "encrypted": ("encrypted",),
    "methods": ("method",),
    "paths": ("request",),
    "routes": ("request",),
    "authorities": ("request",),
    "statuses": ("status",),
    "containers": ("workload",),
    "pods": ("workload",),
}
"""The columns that hold each field that a filter may test."""

_NOT_KNOWN, _NONE = "not known", "none"
_WORDS = {"processes": 2, "peers": 3, "methods": 2}  # how many words of 64 bits a value takes, if more than one


class AvailableValues:
    """Gather the values of the `asked` fields (keys of FIELD_COLUMNS) as calls are read."""

    def __init__(
        self,
        asked: Sequence[str],
        heads: CallHeads | None = None,
        workloads: Workloads | None = None,
        patterns: RoutePatterns = NO_PATTERNS,
    ) -> None:
        self.first_ns = self.last_ns = 0  # t0 of the earliest and the latest call
        self.unreached_ns: int | None = None  # duration of the slowest call that only the threshold excludes, if any
        self._totals = {field: TotalsByValue(_WORDS.get(field, 1)) for field in asked}
        self._has_calls = False
        self._heads, self._workloads, self._patterns = heads, workloads, patterns

    def __len__(self) -> int:
        """Return how many distinct values were gathered."""
        return sum(map(len, self._totals.values()))

    def add(self, calls: LazyTable, passing: npt.NDArray[np.bool_]) -> None:
        """Add the values of a table, which has at least one call. `passing` selects calls that only the threshold
        excludes."""
        values = {field: _values(field, calls) for field in self._totals}
        earliest, latest = int(calls["t0"].min()), int(calls["t0"].max())
        self.first_ns = min(self.first_ns, earliest) if self._has_calls else earliest
        self.last_ns = max(self.last_ns, latest)
        self._has_calls = True
        durations = Durations(duration_ns(calls))
        if passing.any():
            self.unreached_ns = max(self.unreached_ns or 0, int(durations.ns[passing].max()))
        for field, (words, run) in values.items():
            totals = self._totals[field]
            totals.add(durations, totals.intern(*words)[run])

    def values(self) -> Mapping[str, Mapping[str, Totals]]:
        """Return the totals of the calls by field and by value; values are printable text."""
        return {field: self._by_text(field, totals) for field, totals in self._totals.items()}

    def _by_text(self, field: str, totals: TotalsByValue) -> Mapping[str, Totals]:
        by_text: dict[str, Totals] = {}
        for text, of_value in zip(self._texts(field, totals.values), totals.totals()):
            by_text[text] = by_text.get(text, Totals()) + of_value
        return by_text

    def _texts(self, field: str, values: Words) -> list[str]:
        """Return distinct values, given as words of shape (width, count), as printable text."""
        if field in _OF_WORKLOAD and self._workloads is not None:
            known = self._workloads.values
            return [_of_workload(field, known[number]) for number in values[0].tolist()]
        if field not in _OF_REQUEST or self._heads is None:
            return _texts(field, values)
        heads = (parse_request(self._heads.texts[place]) for place in values[0].tolist())
        return [_OF_REQUEST[field](head, self._patterns) or _NOT_KNOWN for head in heads]


_OF_REQUEST: Mapping[str, Callable[[RequestHead, RoutePatterns], str]] = {
    "paths": lambda head, _: head.path,
    "routes": lambda head, patterns: head.path and shape_of(head.path, patterns, is_grpc=head.is_grpc).text,
    "authorities": lambda head, _: head.authority,
}


_OF_WORKLOAD: Mapping[str, Callable[[Workload], str]] = {
    "containers": lambda workload: workload.container_text or workload.unit,
    "pods": lambda workload: workload.pod_text,
}


def _of_workload(field: str, workload: Workload) -> str:
    return (_OF_WORKLOAD[field](workload) or _NONE) if workload.is_known else _NOT_KNOWN


def _values(field: str, calls: LazyTable) -> tuple[list[Words], Indices]:
    """Return the values at the start of each run of calls with equal values, and for each call the number of its
    run."""
    first, run = calls.runs(*FIELD_COLUMNS[field])
    columns = (calls.values_at(name, first) for name in FIELD_COLUMNS[field])
    return [word for column in columns for word in words_of(_whole_words(column))], run


def _whole_words(column: Column) -> Column:
    """Return a column of bytes, such as methods, with zeros up to whole words of 64 bits."""
    size = column.dtype.itemsize
    return column.astype(f"S{size + -size % 8}") if column.dtype.kind == "S" and size % 8 else column


def _texts(field: str, values: Words) -> list[str]:
    """Return distinct values, given as words of shape (width, count), as printable text."""
    numbers = values[-1].tolist()
    if field == "processes":
        return list(map(comm, bytes_of(values)))
    if field == "peers":
        return [peer_text(address, port) for address, port in zip(bytes_of(values[:2]), numbers)]
    if field == "methods":
        return [printable(method) or _NOT_KNOWN for method in bytes_of(values)]
    if field == "statuses":
        return [str(number) if number else _NOT_KNOWN for number in numbers]
    if field == "pids":
        return list(map(str, numbers))
    kinds = {"roles": Role, "kinds": Kind, "outcomes": Outcome, "encrypted": Encrypted}
    return [enum_text(kinds[field], number) for number in numbers]


def peer_text(address: bytes, port: int) -> str:
    """Return an address and port as --peer takes them."""
    return endpoint(address_text(address), port)
