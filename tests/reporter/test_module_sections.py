"""Check that only adjoining parts of a module or a JIT map make a whole, whatever a capture declares."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from httpcapture import PROGRAM_HEADERS, JitMap, Module, Section
from httpreport.capture.module_sections import NOT_FOLLOWING, JoinedParts, JoinedSections, add_part, add_text
from httpreport.elf.elf import read_elf
from httpreport.symbols.module_elf import to_elf
from support.live import parts

PYTHON = Path("/usr/bin/python3").resolve()
U64 = st.integers(0, (1 << 64) - 1)
NAMES = st.sampled_from([".eh_frame", ".symtab", PROGRAM_HEADERS, "", ".text"])


def part(start: int, data: bytes, size: int = 10, problem: str = "", name: str = ".eh_frame") -> Section:
    return Section(1, name, 0x1000, size, start, data, problem)


def join(*given: Section) -> JoinedParts:
    joined: JoinedSections = {}
    for one in given:
        add_part(joined, one, JoinedParts)
    return joined[".eh_frame"]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_parts_that_follow_each_other_are_the_whole(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]

    whole = join(*(part(low, data[low:high], len(data)) for low, high in zip(edges, edges[1:])))

    assert (bytes(whole.data), whole.missing) == (data, "")


def test_what_does_not_follow_ends_the_whole_with_a_reason() -> None:
    gap = join(part(0, b"abcd"), part(5, b"fghij"), part(4, b"e"))
    overlap = join(part(0, b"abcd"), part(3, b"defghij"))
    beyond = join(part(0, b"abcd"), part(4, b"e" * 7))
    resized = join(part(0, b"abcd"), part(4, b"efghij", size=11))

    for whole in (gap, overlap, beyond, resized):
        assert (bytes(whole.data), whole.missing) == (b"abcd", NOT_FOLLOWING)


def test_what_is_missing_at_the_end_is_said() -> None:
    assert join(part(0, b"abcd")).missing == "the rest was not recorded"
    assert join(part(0, b"abcd", problem="left out"), part(4, b"efghij")).missing == "left out"
    assert join(part(0, b"", problem="left out")).missing == "left out"


def test_a_whole_that_comes_again_is_taken_once() -> None:
    whole = join(part(0, b"0123456789"), part(0, b"abcdefghij"))

    assert (bytes(whole.data), whole.missing) == (b"0123456789", "")


@given(st.lists(st.builds(Section, st.just(1), NAMES, U64, U64, U64, st.binary(max_size=99)), max_size=6))
def test_no_parts_make_more_than_themselves_or_raise(given: list[Section]) -> None:
    joined: JoinedSections = {}
    for one in given:
        add_part(joined, one, JoinedParts)

    to_elf(Module(1, b"/x", b"\1" * 20, 0, b"", machine=62), joined)
    assert sum(len(whole.data) for whole in joined.values()) <= sum(len(one.data) for one in given)


def test_the_texts_of_two_times_are_two_maps() -> None:
    texts: dict[int, JoinedParts] = {}
    for taken, start, data in ((1, 0, b"ab"), (2, 0, b"AB"), (1, 2, b"cd"), (2, 3, b"!")):
        add_text(texts, JitMap(7, 0, taken, start, data), JoinedParts)

    assert {taken: bytes(whole.data) for taken, whole in texts.items()} == {1: b"abcd", 2: b"AB"}
    assert (texts[1].missing, texts[2].missing) == ("", NOT_FOLLOWING)


def test_what_the_recorder_copies_of_a_file_is_what_the_file_says() -> None:
    joined: JoinedSections = {}
    for one in parts(1, PYTHON):
        add_part(joined, one, JoinedParts)
    of_file = read_elf(PYTHON.read_bytes())

    carried = to_elf(Module(1, os.fsencode(PYTHON), of_file.build_id, 0, b"", machine=62), joined)

    assert carried is not None
    assert (carried.machine, carried.segments, carried.build_id) == (62, of_file.segments, of_file.build_id)
    assert carried.sections == of_file.sections


def test_a_file_that_could_not_be_read_to_its_end_is_what_was_read() -> None:
    joined: JoinedSections = {}
    for one in [*parts(1, PYTHON), Section(1, "", 0, 0, 0, b"", "cannot be read: Input/output error")]:
        add_part(joined, one, JoinedParts)

    carried = to_elf(Module(1, b"/x", b"\1" * 20, 0, b"", machine=62), joined)

    assert carried is not None and carried.section(".eh_frame")
    assert joined[""].missing == "cannot be read: Input/output error"


def test_without_program_headers_there_is_no_module() -> None:
    joined: JoinedSections = {}
    for one in parts(1, PYTHON):
        if one.name != PROGRAM_HEADERS:
            add_part(joined, one, JoinedParts)

    assert to_elf(Module(1, b"/x", b"\1" * 20, 0, b"", machine=62), joined) is None
