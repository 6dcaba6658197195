"""Check that recorded text reaches no terminal, text file or folded stack with a control code in it."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture.printable import LONGEST
from httpreport.common import printable

ANY_TEXT = st.one_of(st.binary(max_size=64), st.text(max_size=64))


@given(ANY_TEXT)
def test_nothing_invisible_survives(text: bytes | str) -> None:
    cleaned = printable.printable(text)

    categories = {unicodedata.category(character) for character in cleaned}
    assert not any(category.startswith(("C", "Z")) and category != "Zs" for category in categories)
    assert {character for character in cleaned if character.isspace()} <= {" "}


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=64))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert printable.printable(text) == text == printable.printable(text.encode())


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        (b"\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("abc\u202edcba", r"abc\u202edcba"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        (b"caf\xc3\xa9", "café"),
        (b"\xff\xfe", r"\xff\xfe"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("\ud800", r"\ud800"),
        ("no\u00a0break", r"no\xa0break"),
    ],
)
def test_what_cannot_be_seen_is_written_as_an_escape(recorded: bytes | str, shown: str) -> None:
    assert printable.printable(recorded) == shown


def test_a_long_name_is_cut() -> None:
    assert len(printable.printable("x" * 100_000)) == len(printable.printable(b"x" * 100_000)) == LONGEST


def test_a_comm_ends_at_its_first_nul() -> None:
    assert printable.comm(b"nova\0junk\0\0\0\0\0\0\0") == "nova"


@given(ANY_TEXT)
def test_a_frame_can_be_told_from_its_neighbours_and_from_a_weight(text: bytes | str) -> None:
    frame = printable.frame(text)

    assert frame
    assert ";" not in frame
    assert not re.search(r"\s\d+(\.\d*)?$", frame)
