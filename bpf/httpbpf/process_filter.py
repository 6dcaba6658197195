"""Compile a process filter to a finite automaton, by which the kernel matches names and shell patterns alike.

A comm has at most 15 bytes. Each pattern becomes a chain of tokens. A state of the automaton is the set of positions in
all chains that can be reached by the bytes read so far (the subset construction). State 0 can no longer match, state 1
is the start, and the table has 256 bytes of next states for each.
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
    """Report that the patterns are too many for the kernel's table."""


class Automaton(NamedTuple):
    """Hold an automaton in the layout of struct process_filter (maps.h): `accepts` has a byte for each state,
    `following` has 256."""

    accepts: bytes
    following: bytes


class _Token(NamedTuple):
    repeats: bool  # * : any number of bytes
    matches: frozenset[int]


def _bracket(text: bytes) -> frozenset[int]:
    """Return the bytes that match `[...]`, according to fnmatch, which treats empty ranges in its own way."""
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


_Position = tuple[int, int]  # number of a chain, position in it


def _closure(positions: frozenset[_Position], chains: Sequence[Sequence[_Token]]) -> frozenset[_Position]:
    """Return these positions and those that are reached from them without a byte: behind a `*`."""
    closed = set(positions)
    pending = list(positions)
    while pending:
        chain, position = pending.pop()
        if position < len(chains[chain]) and chains[chain][position].repeats:
            behind = (chain, position + 1)
            if behind not in closed:
                closed.add(behind)
                pending.append(behind)
    return frozenset(closed)


def _next_positions(
    positions: frozenset[_Position], byte: int, chains: Sequence[Sequence[_Token]]
) -> frozenset[_Position]:
    """Return the positions that `byte` leads to from these."""
    following = set()
    for chain, position in positions:
        if position < len(chains[chain]):
            token = chains[chain][position]
            if byte in token.matches:
                following.add((chain, position if token.repeats else position + 1))
    return _closure(frozenset(following), chains)


def compile_filter(patterns: Sequence[bytes]) -> Automaton:
    """Return the automaton that accepts the comms that any of `patterns` matches. Raises FilterError if it needs more
    than 256 states."""
    chains = [_tokens(pattern) for pattern in patterns]
    nowhere: frozenset[_Position] = frozenset()
    start = _closure(frozenset((chain, 0) for chain in range(len(chains))), chains)
    states: dict[frozenset[_Position], int] = {nowhere: 0, start: 1}
    pending = [start]
    rows: dict[int, bytes] = {0: bytes(256)}
    while pending:
        positions = pending.pop()
        row = bytearray()
        for byte in range(256):
            following = _next_positions(positions, byte, chains)
            if following not in states:
                if len(states) == MAX_STATES:
                    raise FilterError("the -p patterns are too many or too long: give fewer, or one with *")
                states[following] = len(states)
                pending.append(following)
            row.append(states[following])
        rows[states[positions]] = bytes(row)
    accepts = bytearray(MAX_STATES)
    for positions, state in states.items():
        accepts[state] = any(position == len(chains[chain]) for chain, position in positions)
    following_table = b"".join(rows[state] for state in range(len(states)))
    return Automaton(bytes(accepts), following_table.ljust(MAX_STATES * 256, b"\0"))
