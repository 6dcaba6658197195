"""The decoder of header blocks against the `hpack` package, with whole and with lost blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprec.hpack import MAX_TABLE, NOTHING_KNOWN, Decoder, Fields
from httprec.huffman import HuffmanError, decode_huffman

oracle: Any = pytest.importorskip("hpack")
huffman: Any = pytest.importorskip("hpack.huffman")
huffman_table: Any = pytest.importorskip("hpack.huffman_table")
constants: Any = pytest.importorskip("hpack.huffman_constants")

WANTED = frozenset((b":path", b":status", b"grpc-status", b"x-some"))
NAMES = st.sampled_from([b":path", b":status", b"cookie", b"x-some", b"x-other", b"grpc-status", b"date"])
VALUES = st.one_of(
    st.sampled_from([b"200", b"/", b"/a/b", b"0", b""]), st.binary(max_size=40), st.binary(min_size=900, max_size=1500)
)
Header = tuple[bytes, bytes]
BLOCKS = st.lists(
    st.tuples(
        st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=8),
        st.booleans(),  # in Huffman code
        st.one_of(st.none(), st.none(), st.sampled_from([0, 60, 300, 4096, 9000, 40000])),  # a new size of the table
    ),
    max_size=12,
)


def encoded(blocks: Sequence[Any]) -> list[bytes]:
    encoder = oracle.Encoder()
    found = []
    for headers, is_huffman, size in blocks:
        if size is not None:
            encoder.header_table_size = size
        marked = [
            oracle.NeverIndexedHeaderTuple(name, value) if is_never else oracle.HeaderTuple(name, value)
            for name, value, is_never in headers
        ]
        found.append(encoder.encode(marked, huffman=is_huffman))
    return found


def decoded(decoder: Decoder, block: bytes) -> list[Header]:
    return pairs(decoder.decode(block))


def pairs(found: Fields) -> list[Header]:
    return [(field.name, field.text) for field in found.fields]


def wanted(headers: Sequence[Any]) -> list[Header]:
    return [(name, value) for name, value, *_ in headers if name in WANTED]


def is_part(some: Sequence[Header], of: Sequence[Header]) -> bool:
    """Return whether some are among others, in the same order."""
    rest = iter(of)
    return all(each in rest for each in some)


@given(st.binary(max_size=200))
def test_huffman_code_is_decoded(text: bytes) -> None:
    coder = huffman.HuffmanEncoder(constants.REQUEST_CODES, constants.REQUEST_CODES_LENGTH)
    assert decode_huffman(coder.encode(text)) == text


@given(st.binary(max_size=60))
def test_what_is_no_huffman_code_is_refused(coded: bytes) -> None:
    try:
        expected = huffman_table.decode_huffman(coded)
    except oracle.HPACKDecodingError:
        with pytest.raises(HuffmanError):
            decode_huffman(coded)
    else:
        assert decode_huffman(coded) == expected


@given(BLOCKS)
def test_all_wanted_fields_are_known_where_all_blocks_were_seen(blocks: Sequence[Any]) -> None:
    """Tables larger than what is kept of one hold entries that are not known; there is no other reason."""
    decoder, largest = Decoder(WANTED, is_whole=True), 0
    for (headers, _, size), block in zip(blocks, encoded(blocks)):
        largest = max(largest, size or 0)
        found = decoder.decode(block)
        if largest <= MAX_TABLE:
            assert (pairs(found), found.has_unknown) == (wanted(headers), False)
        assert is_part(pairs(found), wanted(headers))
        assert found.has_unknown or pairs(found) == wanted(headers)


@given(BLOCKS, st.sets(st.integers(0, 11)), st.booleans())
def test_what_is_known_is_true_where_blocks_were_lost(blocks: Sequence[Any], lost: set[int], is_late: bool) -> None:
    decoder = Decoder(WANTED, is_whole=not is_late)
    for number, ((headers, _, _), block) in enumerate(zip(blocks, encoded(blocks))):
        if number in lost or (is_late and number < 3):
            decoder.lose()
            continue
        found = decoder.decode(block)
        assert is_part(pairs(found), wanted(headers))
        assert found.has_unknown or pairs(found) == wanted(headers)


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_chance_bytes_are_decoded_as_elsewhere_or_not_at_all(blocks: Sequence[bytes]) -> None:
    """The other decoder refuses more: updates of the size in the middle, and sizes that it has not allowed."""
    ours, theirs = Decoder(WANTED, is_whole=True), oracle.Decoder()
    for block in blocks:
        found = ours.decode(block)
        try:
            expected = theirs.decode(block, raw=True)
        except oracle.HPACKError:
            return
        assert found.has_unknown is False
        assert pairs(found) == [(name, value) for name, value in expected if name in WANTED]


def literal(name: bytes, value: bytes, form: int = 0x40) -> bytes:
    return bytes([form, len(name)]) + name + bytes([len(value)]) + value


def test_entries_after_a_loss_are_known_and_older_ones_are_not() -> None:
    decoder = Decoder(WANTED, is_whole=True)
    decoder.decode(literal(b":path", b"/old"))
    decoder.lose()
    decoder.decode(literal(b":path", b"/new"))
    assert decoder.decode(b"\xbe") == Fields(((b":path", b"/new"),), False)  # type: ignore[arg-type]
    assert decoder.decode(b"\xbf") == NOTHING_KNOWN


def test_an_entry_with_an_unknown_name_counts() -> None:
    decoder = Decoder(WANTED, is_whole=False)
    assert pairs(decoder.decode(literal(b":path", b"/first") + b"\x7f\x10\x01a")) == [(b":path", b"/first")]
    assert decoder.decode(b"\xbe") == NOTHING_KNOWN
    assert pairs(decoder.decode(b"\xbf")) == [(b":path", b"/first")]


def test_an_entry_larger_than_what_is_kept_counts() -> None:
    decoder = Decoder(WANTED, is_whole=False)
    large = b"\x40\x01x\x7f\x81\xff\x01" + bytes(127 + 1 + (127 << 7) + (1 << 14))
    decoder.decode(literal(b":path", b"/a") + large + literal(b":path", b"/b"))
    assert pairs(decoder.decode(b"\xbe")) == [(b":path", b"/b")]
    assert decoder.decode(b"\xbf").fields == ()
    assert decoder.decode(b"\xc0") == NOTHING_KNOWN


@pytest.mark.parametrize("block", [b"\x80", b"\xbf", b"\x40\x01", b"\xff" + b"\xff" * 9, b"\x00\x05ab"])
def test_a_malformed_block_is_as_a_lost_one(block: bytes) -> None:
    decoder = Decoder(WANTED, is_whole=True)
    decoder.decode(literal(b":path", b"/a"))
    assert decoder.decode(literal(b":status", b"200", 0) + block) == NOTHING_KNOWN
    assert decoder.decode(b"\xbe") == NOTHING_KNOWN


def test_values_that_are_not_wanted_are_not_kept() -> None:
    decoder = Decoder(WANTED, is_whole=True)
    decoder.decode(literal(b"cookie", b"planted"))
    assert decoder.size == 32 + len(b"cookieplanted")
    assert "planted" not in repr(vars(decoder))
