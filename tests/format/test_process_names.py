"""Check that -p NAME means the same to the reporter as to the kernel, whose automaton the recorder makes."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpbpf.process_filter import compile_filter
from httpcapture.process_names import is_pattern, kept, matches

NAMES = st.lists(st.sampled_from([b"a", b"bc", b"*", b"?", b"[", b"]", b"!", b"-", b"\xff"]), max_size=12).map(b"".join)
COMMS = st.lists(st.sampled_from([b"a", b"b", b"c", b"[", b"-", b"\xff"]), max_size=15).map(b"".join)


def in_the_kernel(name: bytes, comm: bytes) -> bool:
    """Walk the automaton as output.h does."""
    automaton, state = compile_filter([kept(name)]), 1
    for byte in comm:
        state = automaton.following[256 * state + byte]
    return bool(automaton.accepts[state])


@given(NAMES, st.lists(COMMS, max_size=10))
def test_a_name_means_the_same_in_the_kernel_and_in_a_report(name: bytes, comms: list[bytes]) -> None:
    for comm in [*comms, name[:15]]:
        assert matches(name, comm) == in_the_kernel(name, comm)


@given(NAMES, COMMS)
def test_a_pattern_decides_as_fnmatch_and_any_other_name_by_15_bytes(name: bytes, comm: bytes) -> None:
    special = any(character in name for character in (b"*", b"?", b"["))
    assert is_pattern(name) is special
    assert matches(name, comm) == (fnmatch.fnmatchcase(comm, name) if special else comm == name[:15])


@pytest.mark.parametrize(
    ("name", "expected"),
    [(b"a" * 16, b"a" * 15), (b"a" * 15, b"a" * 15), (b"a" * 15 + b"*", b"a" * 15 + b"*"), (b"", b"")],
)
def test_the_kernel_keeps_15_bytes_of_a_name_and_a_pattern_is_whole(name: bytes, expected: bytes) -> None:
    assert kept(name) == expected


@pytest.mark.parametrize(
    ("name", "answer"),
    [(b"nova", False), (b"a*", True), (b"a?", True), (b"[a]", True), (b"[", True), (b"]", False), (b"a-b!", False)],
)
def test_what_counts_as_a_pattern(name: bytes, answer: bool) -> None:
    assert is_pattern(name) is answer
