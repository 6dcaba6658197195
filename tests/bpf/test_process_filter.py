"""Check that a compiled filter decides as fnmatch does, for every name that a thread can have."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from httpbpf.process_filter import MAX_STATES, Automaton, FilterError, compile_filter

COMM_SIZE = 16


def matches(automaton: Automaton, name: bytes) -> bool:
    """Match as `matches` in output.h does, over the 16 bytes of a comm; bytes after the final 0 are ignored."""
    comm = (name[: COMM_SIZE - 1] + b"\0").ljust(COMM_SIZE, b"x")
    state = 1
    for position in range(COMM_SIZE - 1):
        if not comm[position]:
            break
        state = automaton.following[256 * state + comm[position]]
    return bool(automaton.accepts[state])


def expected(patterns: Sequence[bytes], name: bytes) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


LETTERS = st.sampled_from([b"a", b"b", b"c", b"-", b"!", b"]", b"^", b"\\", b".", b"\n", b"\x80", b"\xff", b"\xc3"])
PIECES = st.one_of(
    LETTERS,
    st.sampled_from([b"*", b"**", b"?", b"[", b"[]", b"[]]", b"[!]]", b"[!]", b"[a-c]", b"[!a-c]", b"[!b]", b"[c-a]"]),
    st.sampled_from([b"[a-]", b"[-a]", b"[!-a]", b"[a-c-b]", b"[\x80-\xff]", b"[^a]", b"[!c-a]", b"[a--]", b"[]-a]"]),
    st.lists(LETTERS, max_size=5).map(lambda letters: b"[" + b"".join(letters) + b"]"),
)
PATTERNS = st.lists(PIECES, max_size=6).map(b"".join)
NAMES = st.one_of(
    st.lists(LETTERS, max_size=15).map(b"".join),
    st.lists(st.sampled_from([b"a", b"b", b"c", b"[", b"*", b"?"]), max_size=15).map(b"".join),
    st.binary(max_size=15).map(lambda name: name.replace(b"\0", b"")),
)


@settings(max_examples=1500)
@given(PATTERNS, st.lists(NAMES, min_size=5, max_size=30))
@example(b"nova-*", [b"nova-api", b"nova-", b"nova", b"xnova-api"])
@example(b"[", [b"[", b""])
@example(b"[]", [b"[]", b"]", b""])
@example(b"[]]", [b"]", b"[]]"])
@example(b"[!]]", [b"]", b"a"])
@example(b"[z-a]", [b"z", b"a", b"-", b""])
@example(b"[!z-a]", [b"z", b"-", b""])
@example(b"*[]-[!]]", [b"a]", b"!]", b"]"])
@example(b"[a-c-e]", [b"a", b"b", b"-", b"d", b"e"])
@example(b"a[b", [b"a[b", b"ab"])
@example(b"*[!\x80-\xff]", [b"\x80", b"\x80a", b"a"])
@example(b"?" * 15, [b"a" * 15, b"a" * 14])
@example(b"*" * 20 + b"a", [b"a", b"ba", b"ab"])
def test_one_pattern_decides_as_fnmatch(pattern: bytes, names: list[bytes]) -> None:
    automaton = compile_filter([pattern])
    for name in [*names, pattern[:15].replace(b"\0", b"")]:
        assert matches(automaton, name) == expected([pattern], name), name


@settings(max_examples=300)
@given(st.lists(PATTERNS, min_size=1, max_size=4), st.lists(NAMES, min_size=5, max_size=30))
def test_any_of_several_patterns_is_enough(patterns: list[bytes], names: list[bytes]) -> None:
    try:
        automaton = compile_filter(patterns)
    except FilterError:
        return
    for name in names:
        assert matches(automaton, name) == expected(patterns, name), name


def test_a_name_is_matched_whole_and_with_its_case() -> None:
    automaton = compile_filter([b"nova-api"])
    assert matches(automaton, b"nova-api")
    assert not any(matches(automaton, name) for name in (b"nova-ap", b"nova-apiX", b"Nova-api", b"", b"nova-api "))


def test_a_name_of_15_bytes_is_matched_to_its_last_byte() -> None:
    automaton = compile_filter([b"neutron-openvsw"])
    assert matches(automaton, b"neutron-openvsw")
    assert not matches(automaton, b"neutron-openvsx")


def test_no_state_leads_out_of_the_one_that_matches_nothing() -> None:
    automaton = compile_filter([b"a", b"b*"])
    assert automaton.following[:256] == bytes(256) and automaton.accepts[0] == 0


def fifteen(count: int) -> list[bytes]:
    """Return names of 15 bytes that share no states. Each takes 15 states; the start and the dead state come on top."""
    return [bytes([0x80 + number]) * 15 for number in range(count)]


def test_as_many_states_as_the_kernel_has_room_for() -> None:
    names = [*fifteen(16), b"b" * (MAX_STATES - 2 - 16 * 15)]
    automaton = compile_filter(names)
    assert len(automaton.accepts) == MAX_STATES and len(automaton.following) == MAX_STATES * 256
    assert all(matches(automaton, name) for name in names)
    assert not matches(automaton, names[-1] + b"b")


def test_one_state_more_is_refused_with_what_to_do() -> None:
    names = [*fifteen(16), b"b" * (MAX_STATES - 1 - 16 * 15)]
    with pytest.raises(FilterError, match="fewer, or one with \\*"):
        compile_filter(names)


def test_patterns_that_would_need_exponentially_many_states_are_refused() -> None:
    with pytest.raises(FilterError):
        compile_filter([b"*a" + b"?" * 12])
