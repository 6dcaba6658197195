"""Check that build IDs are found in notes of every kind, as the gABI lays notes out."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from httpcapture.elf_notes import MAX_BUILD_ID, build_ids

Note = tuple[bytes, int, bytes]  # name, type, content
NOTES = st.tuples(
    st.one_of(st.sampled_from([b"GNU\0", b"Go\0\0", b"CORE\0", b""]), st.binary(max_size=9)),
    st.integers(1, 5),
    st.one_of(st.binary(max_size=30), st.integers(250, 260).map(bytes)),
)


def packed(note: Note) -> bytes:
    name, kind, content = note
    header = struct.pack("<III", len(name), len(content), kind)
    return header + name + bytes(-len(name) % 4) + content + bytes(-len(content) % 4)


def first(notes: list[Note], name: bytes, kind: int) -> bytes:
    """Return the content of the first note of this kind that a build ID can have."""
    found = (content for each, number, content in notes if (each, number) == (name, kind))
    return next((content for content in found if 0 < len(content) <= MAX_BUILD_ID), b"")


@given(st.lists(st.lists(NOTES, max_size=5), max_size=3))
def test_the_first_build_id_of_each_kind_is_found(areas: list[list[Note]]) -> None:
    notes = [note for area in areas for note in area]
    found = build_ids(b"".join(map(packed, area)) for area in areas)
    assert found == (first(notes, b"GNU\0", 3), first(notes, b"Go\0\0", 4))
    assert found.identity == (found.gnu or found.go)


@given(st.lists(NOTES, max_size=5), st.binary(max_size=40))
def test_bytes_that_are_no_note_raise_nothing_and_hide_nothing_before_them(notes: list[Note], rest: bytes) -> None:
    whole = b"".join(map(packed, notes))
    before = build_ids([whole])
    after = build_ids([memoryview(whole + rest)])
    assert (before.gnu or after.gnu, before.go or after.go) == after


def test_a_note_that_is_cut_off_is_none() -> None:
    whole = packed((b"GNU\0", 3, bytes(range(1, 21))))
    assert all(not build_ids([whole[:size]]).gnu for size in range(len(whole)))
