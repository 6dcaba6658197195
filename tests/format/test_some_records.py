"""Check that records of some kinds can be read alone, and a capture again."""

from __future__ import annotations

import io

import pytest

from httpcapture import Calls, Completions, CorruptRecord, End, Lost, Meta, Reader
from support.capture_samples import write_capture


def kinds(reader: Reader, *wanted: type) -> list[type]:
    return [type(record) for record in reader.only(*wanted)]


def test_records_of_some_kinds_are_those_that_all_records_have() -> None:
    data = write_capture()
    every = list(Reader(io.BytesIO(data)))
    wanted = (Lost, End, Calls)

    some = list(Reader(io.BytesIO(data)).only(*wanted))

    assert [type(record) for record in some] == [
        type(record) for record in every if isinstance(record, (Meta, *wanted))
    ]
    assert [record for record in some if not isinstance(record, Calls)] == [
        record for record in every if isinstance(record, (Meta, Lost, End))
    ]


def test_the_end_of_the_file_is_told_of_some_records_too() -> None:
    data = write_capture()
    whole, cut = Reader(io.BytesIO(data)), Reader(io.BytesIO(data[:-200]))
    assert kinds(whole, Completions, End) == [Meta, Completions, End]
    assert whole.cut_off is None
    assert End not in kinds(cut, Completions, End)
    assert cut.cut_off is not None


def test_damage_in_other_chunks_is_left_to_those_who_read_them() -> None:
    data = bytearray(write_capture())
    at = data.index(b"LazyCompile")
    data[at] ^= 1

    assert kinds(Reader(io.BytesIO(data)), Lost, End)[-1] is End
    with pytest.raises(CorruptRecord):
        list(Reader(io.BytesIO(data)))


def test_a_capture_is_read_again_from_its_start() -> None:
    reader = Reader(io.BytesIO(write_capture()), "run.cap")
    first = [type(record) for record in reader]

    again = reader.again()

    assert (again.name, again.meta) == ("run.cap", reader.meta)
    assert [type(record) for record in again] == first
