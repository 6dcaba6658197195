"""Remember what the newest calls asked for and how they were answered, for those that print them.

It is the first lines of the heads that the capture gets, so nothing is printed that is not written.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import NamedTuple

from httpcapture.printable import printable

from . import tuning
from .http_targets import UNKNOWN
from .kept_heads import Head

_NUMBER_SEGMENT = re.compile(r"/[0-9]+(?=/|$)")


class Asked(NamedTuple):
    """Hold what is known of a request and its response, as printable text; empty where it is not known."""

    method: str = ""
    path: str = ""  # without the query, and without what looked like a token
    status: str = ""

    @property
    def request(self) -> str:
        """Return method and path."""
        return " ".join(filter(None, (self.method, self.path)))

    @property
    def shape(self) -> str:
        """Return the same, with `{n}` for each segment that is a number."""
        return " ".join(filter(None, (self.method, _NUMBER_SEGMENT.sub("/{n}", self.path))))


NOT_KNOWN = Asked()


class NewestAsked:
    """Hold `Asked` of the newest calls that have a head, by connection and sequence."""

    def __init__(self) -> None:
        self._asked: OrderedDict[tuple[int, int], Asked] = OrderedDict()  # the oldest first

    def add(self, head: Head) -> None:
        """Remember the first line of a head."""
        key = head.connection, head.sequence
        before = self._asked.get(key, NOT_KNOWN)
        self._asked[key] = _answered(before, head.text) if head.is_response else _requested(before, head.text)
        if len(self._asked) > tuning.MAX_PRINTED_HEADS:
            self._asked.popitem(last=False)

    def of(self, connection: int, sequence: int) -> Asked:
        """Return what is known of a call."""
        return self._asked.get((connection, sequence), NOT_KNOWN)


def _requested(before: Asked, text: bytes) -> Asked:
    method, _, rest = text.partition(b"\n")[0].partition(b" ")
    target = rest.rpartition(b" ")[0]
    path = b"" if target == UNKNOWN else target.partition(b"?")[0]
    return before._replace(method=_known(method), path=printable(path))


def _answered(before: Asked, text: bytes) -> Asked:
    return before._replace(status=_known(text.partition(b"\n")[0].rpartition(b" ")[2]))


def _known(word: bytes) -> str:
    return "" if word == UNKNOWN else printable(word)
