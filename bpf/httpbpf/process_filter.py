"""A process filter is compiled to a finite automaton, so that the kernel decides names and shell patterns alike.

A comm has at most 15 bytes. Every pattern becomes a chain of tokens; a state of the automaton is the set of places in
all chains at which the bytes read so far can stand (the subset construction). State 0 matches nothing any more,
state 1 is the start; the table has 256 bytes of next states for each.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from typing import NamedTuple

MAX_STATES = 256
_ANY = frozenset(range(256))
_TOKEN = re.compile(rb"\*|\?|\[(?:!|(?!!))(?:\][^\]]*|[^\]]+)\]|.", re.DOTALL)


class FilterError(ValueError):
    """The patterns are too many to be decided in the kernel."""


class Automaton(NamedTuple):
    """`accepts` has a byte for each state, `following` 256 for each: the layout of struct process_filter."""

    accepts: bytes
    following: bytes


class _Token(NamedTuple):
    repeats: bool  # * : any number of bytes
    matches: frozenset[int]


def _bracket(text: bytes) -> frozenset[int]:
    """The bytes that `[...]` stands for: asked of fnmatch, which has its own way with ranges that are empty."""
    return frozenset(byte for byte in _ANY if fnmatch.fnmatchcase(bytes([byte]), text))


def _tokens(pattern: bytes) -> list[_Token]:
    tokens = []
    for match in _TOKEN.finditer(pattern):
        text = match.group()
        if text == b"*":
            tokens.append(_Token(True, _ANY))
        elif text == b"?":
            tokens.append(_Token(False, _ANY))
        elif len(text) > 1:
            tokens.append(_Token(False, _bracket(text)))
        else:
            tokens.append(_Token(False, frozenset(text)))
    return tokens


_Place = tuple[int, int]  # chain, position in it


def _close(places: frozenset[_Place], chains: Sequence[Sequence[_Token]]) -> frozenset[_Place]:
    """Adds the places that are reached without a byte: behind a `*`."""
    closed = set(places)
    pending = list(places)
    while pending:
        chain, position = pending.pop()
        if position < len(chains[chain]) and chains[chain][position].repeats:
            place = (chain, position + 1)
            if place not in closed:
                closed.add(place)
                pending.append(place)
    return frozenset(closed)


def _step(places: frozenset[_Place], byte: int, chains: Sequence[Sequence[_Token]]) -> frozenset[_Place]:
    following = set()
    for chain, position in places:
        if position < len(chains[chain]):
            token = chains[chain][position]
            if byte in token.matches:
                following.add((chain, position if token.repeats else position + 1))
    return _close(frozenset(following), chains)


def compile_filter(patterns: Sequence[bytes]) -> Automaton:
    """The automaton that accepts a comm which one of `patterns` matches. Raises FilterError above 256 states."""
    chains = [_tokens(pattern) for pattern in patterns]
    nowhere: frozenset[_Place] = frozenset()
    start = _close(frozenset((chain, 0) for chain in range(len(chains))), chains)
    states: dict[frozenset[_Place], int] = {nowhere: 0, start: 1}
    pending = [start]
    rows: dict[int, bytes] = {0: bytes(256)}
    while pending:
        places = pending.pop()
        row = bytearray()
        for byte in range(256):
            following = _step(places, byte, chains)
            if following not in states:
                if len(states) == MAX_STATES:
                    raise FilterError("the -p patterns are too many or too long: give fewer, or one with *")
                states[following] = len(states)
                pending.append(following)
            row.append(states[following])
        rows[states[places]] = bytes(row)
    accepts = bytearray(MAX_STATES)
    for places, state in states.items():
        accepts[state] = any(position == len(chains[chain]) for chain, position in places)
    following_table = b"".join(rows[state] for state in range(len(states)))
    return Automaton(bytes(accepts), following_table.ljust(MAX_STATES * 256, b"\0"))
