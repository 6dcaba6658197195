"""Hold the calls that are to be printed until their ends are known, so that each is printed once, and whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from . import tuning
from .call_text import PrintedCall


class HeldCalls:
    """Hold calls until they have ended, or for `tuning.SILENCE_NS` after their last transfer that is known.

    Most answered calls have no completion, because their response is one transfer; nothing but that silence tells such
    a call from one whose response goes on. Each method that returns calls returns them by their ends.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, int], PrintedCall] = {}  # by connection and sequence, in the order of arrival
        self._ended: list[PrintedCall] = []

    def add(self, call: PrintedCall) -> list[PrintedCall]:
        """Hold a call. Return the calls that must be printed as they are, because `tuning.MAX_HELD_CALLS` are held: the
        older half of those that wait, and all that have ended."""
        if call.awaits_end:
            self._waiting[call.connection, call.sequence] = call
        else:
            self._ended.append(call)
        if len(self._waiting) + len(self._ended) < tuning.MAX_HELD_CALLS:
            return []
        return self._release(islice(self._waiting.values(), (len(self._waiting) + 1) // 2))

    def complete(self, completion: Mapping[str, Any]) -> None:
        """End the call that a completion belongs to, if it is held. `completion` has the fields of a completion row."""
        call = self._waiting.pop((completion["connection"], completion["sequence"]), None)
        if call:
            size = completion["sent"] + completion["received"]
            self._ended.append(call._replace(end_ns=completion["t3"], size=size, awaits_end=False))

    def due(self, now_ns: int) -> list[PrintedCall]:
        """Return the calls that are to be printed now (`now_ns` on CLOCK_MONOTONIC), and hold them no longer."""
        return self._release(call for call in self._waiting.values() if now_ns - call.end_ns >= tuning.SILENCE_NS)

    def rest(self) -> list[PrintedCall]:
        """Return all calls, and hold none."""
        return self._release(self._waiting.values())

    def _release(self, waiting: Iterable[PrintedCall]) -> list[PrintedCall]:
        released = list(waiting)
        for call in released:
            del self._waiting[call.connection, call.sequence]
        released += self._ended
        self._ended.clear()
        return sorted(released, key=lambda call: (call.end_ns, call.begin_ns))
