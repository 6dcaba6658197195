"""Print the calls of a recording, each once it has ended, and count what they asked for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from .asked import NewestAsked
from .call_lines import call_line
from .call_text import CallText, PrintedCall
from .frequent_calls import FrequentCalls
from .held_calls import HeldCalls
from .kept_heads import Head


class CallPrinter:
    """Print calls with `show`, which prints a text and returns whether it can print another; with None, or once it
    cannot, nothing is printed or counted. Each call is three lines, or one with `as_lines`."""

    def __init__(self, show: Callable[[str], bool] | None, *, as_lines: bool = False) -> None:
        self.frequent = FrequentCalls()
        self._print, self._as_lines = show, as_lines
        self._text, self._held, self._asked = CallText(), HeldCalls(), NewestAsked()

    @property
    def prints(self) -> bool:
        """Return whether calls are printed."""
        return self._print is not None

    def begin_part(self) -> None:
        """Begin another capture, in which stacks are numbered from 1."""
        self._text = CallText()

    def number_stack(self, stack: int) -> None:
        """Give the next number to a stack that is written, by its ID."""
        if self._print:
            self._text.number_stack(stack)

    def add_head(self, head: Head) -> None:
        """Remember a head that is written."""
        if self._print:
            self._asked.add(head)

    def hold(self, rows: Iterable[memoryview]) -> None:
        """Hold the calls of call rows until it is time to print them."""
        for row in rows:
            if not self._print:
                return
            self._show(self._held.add(self._text.read(row)))

    def complete(self, completion: Mapping[str, Any]) -> None:
        """End the held call that a completion, with the fields of its row, belongs to."""
        self._held.complete(completion)

    def print_due(self, now_ns: int) -> None:
        """Print the calls whose time has come (`now_ns` on CLOCK_MONOTONIC)."""
        self._show(self._held.due(now_ns))

    def print_rest(self) -> None:
        """Print all calls that are held."""
        self._show(self._held.rest())

    def _show(self, calls: Iterable[PrintedCall]) -> None:
        for call in calls:
            if not self._print:
                return
            asked = self._asked.of(call.connection, call.sequence)
            self.frequent.add(call, asked)
            text = call_line(call, asked, _since_1970_ns(call.begin_ns)) if self._as_lines else call.text
            if not self._print(text):
                self._print, self._held, self.frequent = None, HeldCalls(), FrequentCalls()


def _since_1970_ns(monotonic_ns: int) -> int:
    return time.time_ns() - (time.monotonic_ns() - monotonic_ns)
