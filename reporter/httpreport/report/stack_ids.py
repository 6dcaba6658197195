"""Assign Stack IDs. A Stack ID is the number of a stack trace: equal lines have the same number in a whole report,
whatever the process, the addresses or the capture. The stack trace of the longest call has 1.

Captures are read one by one and in any order. Until all are read, a stack trace is known by its key, a hash of its
lines, and what is written about calls has keys instead of numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Union

TextOrKey = Union[str, bytes]
"""Text, or the key of a stack trace, which stands for its number."""


class LongestCall(NamedTuple):
    """Identify the longest listed call that has a stack trace, on either side. Sorting by it gives the order of
    stack_traces.txt."""

    minus_duration_ns: int
    start_ns: int  # since 1970
    position: int  # in its capture's report; each call has two positions, its sending side first


def key_of(lines: Iterable[str]) -> bytes:
    """Return the key of a stack trace with these lines."""
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def longest_by_key(calls: Iterable[tuple[bytes, LongestCall]]) -> dict[bytes, LongestCall]:
    """Return the longest call for each key."""
    found: dict[bytes, LongestCall] = {}
    for key, call in calls:
        found[key] = min(call, found.get(key, call))
    return found


def assign_stack_ids(longest: Mapping[bytes, LongestCall]) -> dict[bytes, int]:
    """Return the Stack IDs by key, from 1."""
    order = sorted(longest.items(), key=lambda item: (item[1], item[0]))
    return {key: number for number, (key, _) in enumerate(order, 1)}


def with_stack_ids(pieces: Iterable[TextOrKey], stack_ids: Mapping[bytes, int]) -> str:
    """Return the text of the pieces, with Stack IDs instead of keys."""
    return "".join(piece if isinstance(piece, str) else str(stack_ids[piece]) for piece in pieces)
