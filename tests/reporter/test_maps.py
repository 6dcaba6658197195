"""Check that /proc/PID/maps is read as the kernel prints it, and that no content can break the reader."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from httpreport.symbols import maps


def test_every_mapping_of_this_process_is_found_at_its_first_and_last_byte() -> None:
    text = Path("/proc/self/maps").read_bytes()

    found = maps.parse(text)

    lines = text.splitlines()
    assert len(found) == len(lines)
    for line in lines:
        fields = line.split(maxsplit=5)
        start, end = (int(number, 16) for number in fields[0].split(b"-"))
        mapping = found.find(start)
        assert mapping is not None
        assert mapping == found.find(end - 1)
        assert (mapping.start, mapping.end, mapping.offset) == (start, end, int(fields[2], 16))
        assert mapping.executable == (fields[1][2:3] == b"x") == found.has_code(start)
        assert mapping.path == (fields[5] if len(fields) > 5 else b"")


def test_an_address_between_two_mappings_is_in_none() -> None:
    found = maps.parse(b"1000-2000 r-xp 00000000 00:00 0 \n3000-4000 r-xp 00000000 00:00 0 \n")

    assert [found.find(address) for address in (0, 0xFFF, 0x2000, 0x2FFF, 0x4000, 1 << 64)] == [None] * 6


def test_a_path_keeps_its_blanks_and_loses_only_the_mark_of_deletion() -> None:
    found = maps.parse(b"1000-2000 r-xp 00000400 fe:01 77     /opt/my lib (1).so (deleted)\n")

    mapping = found.find(0x1010)
    assert mapping is not None
    assert mapping.path == b"/opt/my lib (1).so"
    assert mapping.file_offset(0x1010) == 0x410


@given(st.lists(st.one_of(st.binary(max_size=80), st.from_regex(maps._LINE, fullmatch=True)), max_size=30))
def test_whatever_the_text_is_mappings_are_sorted_and_apart(lines: list[bytes]) -> None:
    found = maps.parse(b"\n".join(lines))

    mappings = found._mappings
    assert all(mapping.start < mapping.end for mapping in mappings)
    assert all(low.end <= high.start for low, high in zip(mappings, mappings[1:]))
