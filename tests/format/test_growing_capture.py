"""Check that a capture that grows is read as it grows: each record once, when its chunk is whole."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Calls, CorruptRecord, End, Lost, Meta, PackedStacks, Reader, Record, RowBatch
from support.capture_bytes import END, LOST, capture, chunk
from support.capture_samples import write_capture

WHOLE = write_capture()
KINDS = [kind for kind in get_args(Record) if kind is not Meta]
META_ENDS = len(capture())  # it is no longer than that of the sample


def comparable(record: object) -> object:
    """Return what a record holds, as a value."""
    if isinstance(record, get_args(RowBatch)):
        return type(record), {name: bytes(column) for name, column in record.columns.items()}
    return list(record) if isinstance(record, PackedStacks) else record


def read_as_it_grows(data: bytes, sizes: Iterable[int]) -> tuple[list[object], Reader]:
    """Return what is read of a file that has these sizes, one after the other, and then all of the data."""
    file = io.BytesIO(data)
    sizes = sorted(sizes)
    file.truncate(sizes[0] if sizes else len(data))
    reader = Reader(file, "run.cap")
    records = [comparable(record) for record in reader.more(*KINDS)]
    for size, next_size in zip(sizes, [*sizes[1:], len(data)]):
        file.seek(0, io.SEEK_END)
        file.write(data[size:next_size])
        records += [comparable(record) for record in reader.more(*KINDS)]
    return records, reader


@given(st.sets(st.integers(META_ENDS, len(WHOLE)), max_size=5))
def test_a_capture_that_grows_in_any_steps_gives_the_records_of_the_whole(sizes: set[int]) -> None:
    at_once = [comparable(record) for record in Reader(io.BytesIO(WHOLE)).only(*KINDS)][1:]

    records, reader = read_as_it_grows(WHOLE, sizes)

    assert records == at_once
    assert reader.cut_off is None


def test_a_chunk_that_is_not_whole_yet_is_not_read() -> None:
    file = io.BytesIO(WHOLE[: META_ENDS + 30])
    reader = Reader(file)
    assert list(reader.more(*KINDS)) == []
    assert reader.cut_off is not None


def test_some_kinds_are_read_as_the_capture_grows() -> None:
    file = io.BytesIO(WHOLE)
    reader = Reader(file)
    assert {type(record) for record in reader.more(Calls, End)} == {Calls, End}
    assert not list(reader.more(Calls, End))


def test_what_is_appended_behind_the_end_is_damage() -> None:
    end, lost = [5, "signal", True, 0, 0, 0, {}, 0], [6, {}]
    data = capture(chunk(END, end))
    file = io.BytesIO(data)
    reader = Reader(file, "run.cap")
    assert [type(record) for record in reader.more(Lost, End)] == [End]
    file.write(chunk(LOST, lost))

    with pytest.raises(CorruptRecord, match=f"run.cap: damaged at byte {len(data)}: there is a record after END"):
        list(reader.more(Lost, End))
