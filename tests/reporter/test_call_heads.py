"""Check that the heads of calls are found by connection and sequence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Heads, HeadText
from httpreport.calls.call_heads import CallHeads
from support.head_records import heads_of

small = st.integers(0, 3)
Rows = list[tuple[int, int, int, int]]  # connection, sequence, and the numbers of the heads


def heads(rows: Rows) -> Heads:
    columns = zip(*rows) if rows else [()] * 4
    widths = (8, 4, 4, 4)
    return Heads(*(b"".join(value.to_bytes(width, "little") for value in one) for one, width in zip(columns, widths)))


def of_records(records: list[Rows], texts: dict[int, bytes]) -> CallHeads:
    known = CallHeads()
    for rows in records:
        known.add(heads(rows))
    for number, text in texts.items():
        known.add_text(HeadText(number, text))
    known.finish()
    return known


@given(st.lists(st.lists(st.tuples(small, small, small, small), max_size=8), max_size=4))
def test_a_call_has_the_heads_that_the_last_rows_with_them_name(records: list[Rows]) -> None:
    known = of_records(records, {1: b"one", 2: b"two"})

    for connection in range(4):
        for sequence in range(4):
            of_call = [row for rows in records for row in rows if row[:2] == (connection, sequence)]
            request, response = (next((row[n] for row in reversed(of_call) if row[n]), 0) for n in (2, 3))
            wanted = tuple({1: b"one", 2: b"two"}.get(number, b"") for number in (request, response))
            assert heads_of(known, connection, sequence) == wanted


def test_connections_and_sequences_use_all_their_bits() -> None:
    known = of_records([[(2**64 - 1, 2**32 - 1, 2**32 - 1, 0)]], {2**32 - 1: b"last"})

    assert heads_of(known, 2**64 - 1, 2**32 - 1) == (b"last", b"")
    assert heads_of(known, 2**64 - 2, 2**32 - 1) == (b"", b"")


def test_of_two_texts_with_one_number_it_is_not_known_which_one_is_meant() -> None:
    known = CallHeads()
    known.add(heads([(1, 1, 7, 8)]))
    for text in (HeadText(7, b"a"), HeadText(8, b"c"), HeadText(7, b"b"), HeadText(8, b"c")):
        known.add_text(text)
    known.finish()

    assert heads_of(known, 1, 1) == (b"", b"c")
    assert known.ambiguous == {7}
