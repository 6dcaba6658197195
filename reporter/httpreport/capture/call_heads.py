"""Keep which heads the calls of a recording have. They are looked up for few calls, by connection and sequence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from httpcapture import Heads, HeadText

_ROW = np.dtype([("connection", "<u8"), ("sequence", "<u4"), ("request", "<u4"), ("response", "<u4")])


class CallHeads:
    """Hold the heads of one capture. Add all records, then call `finish` once."""

    def __init__(self) -> None:
        self.texts: dict[int, bytes] = {}
        """The text of each head by its number; without those in `ambiguous` once all have been added."""
        self.ambiguous = set[int]()
        """Numbers of several texts, so that it is not known which one a call has."""
        self._parts: list[npt.NDArray[np.void]] = []
        self._rows = np.zeros(0, _ROW)

    def add_text(self, head: HeadText) -> None:
        """Add the text of a head."""
        if self.texts.setdefault(head.number, head.text) != head.text:
            self.ambiguous.add(head.number)

    def add(self, heads: Heads) -> None:
        """Add which heads calls have."""
        rows = np.empty(len(heads.connections) // 8, _ROW)
        columns = heads.connections, heads.sequences, heads.requests, heads.responses
        for name, column in zip(_ROW.names or (), columns):
            rows[name] = np.frombuffer(column, _ROW[name])
        self._parts.append(rows)

    def finish(self) -> None:
        """Prepare the look-up."""
        for number in self.ambiguous:
            del self.texts[number]
        rows = np.concatenate([self._rows, *self._parts])
        self._parts.clear()
        self._rows = rows[np.lexsort((rows["sequence"], rows["connection"]))]  # stable: later rows of a call come later

    def of(self, connection: int, sequence: int) -> tuple[bytes, bytes]:
        """Return the texts of the request's head and of the response's head of a call, empty if they are not known."""
        first, last = _run(self._rows["connection"], connection)
        begin, end = _run(self._rows["sequence"][first:last], sequence)
        rows = self._rows[first + begin : first + end]
        request, response = (self.texts.get(_last_known(rows[name]), b"") for name in ("request", "response"))
        return request, response


def _run(values: npt.NDArray[np.unsignedinteger], value: int) -> tuple[int, int]:
    """Return where in sorted values a value begins and ends."""
    wanted = values.dtype.type(value)
    return int(np.searchsorted(values, wanted)), int(np.searchsorted(values, wanted, "right"))


def _last_known(numbers: npt.NDArray[np.uint32]) -> int:
    """Return the last number that is not 0, or 0."""
    known = np.flatnonzero(numbers)
    return int(numbers[known[-1]]) if len(known) else 0
