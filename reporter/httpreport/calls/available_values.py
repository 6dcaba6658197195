"""What calls there are, by the fields that a filter asks about: told where the filter keeps none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from httpcapture import Outcome, Role

from ..common.interning import Words, bytes_of, words_of
from ..common.printable import comm
from .call import address_text, endpoint, word
from .lazy_table import Indices, LazyTable
from .protocol import Kind
from .schema import duration_ns
from .totals import Durations, Sums, SumsByValue

COLUMNS = {
    "processes": ("process",),
    "pids": ("pid",),
    "roles": ("role",),
    "peers": ("peer_address", "peer_port"),
    "kinds": ("kind",),
    "outcomes": ("outcome",),
}
"""What can be asked about, and the columns that tell it."""

_WORDS = {"processes": 2, "peers": 3}  # of 64 bits that a value takes; others one


class There:
    """Gathers what there is of each of the things `asked` about (keys of COLUMNS), as calls come."""

    def __init__(self, asked: Sequence[str]) -> None:
        self.first_ns = self.last_ns = 0  # t0 of the earliest and the latest call
        self.unreached_ns: int | None = (
            None  # of the slowest call that only the threshold keeps out; None: there is none
        )
        self._sums = {what: SumsByValue(_WORDS.get(what, 1)) for what in asked}
        self._any = False

    def __len__(self) -> int:
        """Distinct values."""
        return sum(map(len, self._sums.values()))

    def add(self, calls: LazyTable, passing: npt.NDArray[np.bool_]) -> None:
        """At least one call; `passing` is true for each that only the threshold keeps out."""
        values = {what: _values(what, calls) for what in self._sums}
        earliest, latest = int(calls["t0"].min()), int(calls["t0"].max())
        self.first_ns = min(self.first_ns, earliest) if self._any else earliest
        self.last_ns = max(self.last_ns, latest)
        self._any = True
        durations = Durations(duration_ns(calls))
        if passing.any():
            self.unreached_ns = max(self.unreached_ns or 0, int(durations.ns[passing].max()))
        for what, (words, run) in values.items():
            sums = self._sums[what]
            sums.add(durations, sums.intern(*words)[run])

    def values(self) -> Mapping[str, Mapping[str, Sums]]:
        """By what was asked about and by the value as text, safe to print."""
        return {what: dict(zip(_texts(what, sums.values), sums.sums())) for what, sums in self._sums.items()}


def _values(what: str, calls: LazyTable) -> tuple[list[Words], Indices]:
    """Those of runs of calls that have the same, and for each call which run it is in."""
    first, run = calls.runs(*COLUMNS[what])
    return [word for name in COLUMNS[what] for word in words_of(calls.values_at(name, first))], run


def _texts(what: str, values: Words) -> list[str]:
    numbers = values[-1].tolist()
    if what == "processes":
        return list(map(comm, bytes_of(values)))
    if what == "peers":
        return [peer_text(address, port) for address, port in zip(bytes_of(values[:2]), numbers)]
    if what == "pids":
        return list(map(str, numbers))
    kinds = {"roles": Role, "kinds": Kind, "outcomes": Outcome}
    return [word(kinds[what], number) for number in numbers]


def peer_text(address: bytes, port: int) -> str:
    """As --peer takes it."""
    return endpoint(address_text(address), port)
