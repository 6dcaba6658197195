"""Count the values that calls have, so that a report without calls can list the values that its filters could have
selected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from httpcapture import Outcome, Role
from httpcapture.addresses import address_text, endpoint

from ..common.interning import Words, bytes_of, words_of
from ..common.printable import comm
from .call import enum_text
from .lazy_table import Indices, LazyTable
from .protocol import Encrypted, Kind
from .schema import duration_ns
from .totals import Durations, Totals, TotalsByValue

FIELD_COLUMNS = {
    "processes": ("process",),
    "pids": ("pid",),
    "roles": ("role",),
    "peers": ("peer_address", "peer_port"),
    "kinds": ("kind",),
    "outcomes": ("outcome",),
    "encrypted": ("encrypted",),
}
"""The columns that hold each field that a filter may test."""

_WORDS = {"processes": 2, "peers": 3}  # how many words of 64 bits a value takes, if more than one


class AvailableValues:
    """Gather the values of the `asked` fields (keys of FIELD_COLUMNS) as calls are read."""

    def __init__(self, asked: Sequence[str]) -> None:
        self.first_ns = self.last_ns = 0  # t0 of the earliest and the latest call
        self.unreached_ns: int | None = None  # duration of the slowest call that only the threshold excludes, if any
        self._totals = {field: TotalsByValue(_WORDS.get(field, 1)) for field in asked}
        self._has_calls = False

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
        return {
            field: dict(zip(_texts(field, totals.values), totals.totals())) for field, totals in self._totals.items()
        }


def _values(field: str, calls: LazyTable) -> tuple[list[Words], Indices]:
    """Return the values at the start of each run of calls with equal values, and for each call the number of its
    run."""
    first, run = calls.runs(*FIELD_COLUMNS[field])
    return [word for name in FIELD_COLUMNS[field] for word in words_of(calls.values_at(name, first))], run


def _texts(field: str, values: Words) -> list[str]:
    """Return distinct values, given as words of shape (width, count), as printable text."""
    numbers = values[-1].tolist()
    if field == "processes":
        return list(map(comm, bytes_of(values)))
    if field == "peers":
        return [peer_text(address, port) for address, port in zip(bytes_of(values[:2]), numbers)]
    if field == "pids":
        return list(map(str, numbers))
    kinds = {"roles": Role, "kinds": Kind, "outcomes": Outcome, "encrypted": Encrypted}
    return [enum_text(kinds[field], number) for number in numbers]


def peer_text(address: bytes, port: int) -> str:
    """Return an address and port as --peer takes them."""
    return endpoint(address_text(address), port)
