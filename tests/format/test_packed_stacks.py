"""Check that stacks can be read packed: they equal those read one by one, but only the requested ones are unpacked."""

from __future__ import annotations

import io
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import ALL_IDS, CorruptRecord, PackedStacks, Reader, Stack, Writer
from support.capture_bytes import STACKS, capture, chunk
from support.capture_samples import END, LOST, META, STACK, write

IDS = st.integers(1, 20)


def written(ids: list[int]) -> bytes:
    """Return a capture that begins a new chunk of stacks whenever an ID is not larger than the one before."""
    stream = io.BytesIO()
    writer = Writer(stream, META)
    for number, id in enumerate(ids):
        if number and id <= ids[number - 1]:
            writer.flush()
        write(writer, replace(STACK, id=id, taken_ns=number))
    write(writer, LOST)
    writer.end(END)
    return stream.getvalue()


def packed(data: bytes) -> list[PackedStacks]:
    return [record for record in Reader(io.BytesIO(data), "run.cap").packed() if isinstance(record, PackedStacks)]


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(IDS, max_size=30), st.sets(IDS))
def test_those_that_are_wanted_are_unpacked_and_of_the_others_the_ids_are_told(
    ids: list[int], wanted: set[int]
) -> None:
    data = written(ids)
    one_by_one = [record for record in Reader(io.BytesIO(data)) if isinstance(record, Stack)]
    assert [stack.id for stack in one_by_one] == ids

    found = [pair for chunk in packed(data) for pair in chunk.select(wanted)]

    assert found == [(stack.id, stack if stack.id in wanted else None) for stack in one_by_one]
    assert [stack for chunk in packed(data) for stack in chunk] == one_by_one


def test_all_other_records_are_the_same() -> None:
    data = written([1, 2, 1])
    records = [record for record in Reader(io.BytesIO(data)).packed() if not isinstance(record, PackedStacks)]
    assert records == [META, LOST, END]


OLD = [3, 4, 5, 6, bytes(8)]
BAD = {
    "a text for an id": (["x", *OLD[1:]], "Stack.id: str instead of int", "Stack.id: str instead of int"),
    "too few fields": (OLD[:4], "Stack: it has 4 fields, 5 are required", "Stack: it has 4 fields, 5 are required"),
    "a list for frames": ([*OLD[:4], [1]], "Stack.frames: an array or map where a single value belongs", None),
    "another memory": ([*OLD, b"", 0, 7], "Stack.memory: int instead of bytes", None),
}


@pytest.mark.parametrize(("bad", "read", "stepped_over"), BAD.values(), ids=BAD)
def test_a_damaged_stack_is_found_where_it_is_read(bad: list[object], read: str, stepped_over: str | None) -> None:
    """A stack that is skipped is not checked."""
    data = capture(chunk(STACKS, OLD, bad, OLD), chunk(STACKS, OLD))
    first, second = packed(data)
    assert len([*second]) == 1
    for wanted, said in ((ALL_IDS, read), ([], stepped_over)):
        stacks = first.select(wanted)
        assert next(stacks)[0] == 3
        if said is None:
            assert [id for id, _ in stacks] == [3, 3]
            continue
        with pytest.raises(CorruptRecord, match=rf"run\.cap: damaged at byte \d+: {said}"):
            next(stacks)


def test_what_a_later_version_appends_is_stepped_over_and_takes_no_memory() -> None:
    many = [*OLD, b"", 0, b"", 0, "", b"", 0, 0, 0, b"", 0, 0, b"", 0, b"", 0, 0, *[None] * 2_000_000]
    data = capture(chunk(STACKS, many, OLD))
    (stacks,) = packed(data)
    for ids in (ALL_IDS, range(0)):
        tracemalloc.start()
        try:
            assert [id for id, _ in stacks.select(ids)] == [3, 3]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 6 << 20  # the chunk's content, its copy for msgpack, and little else


@pytest.mark.parametrize("wanted", [ALL_IDS, []])
def test_a_count_that_is_wrong(wanted: range | list[int]) -> None:
    for count, said in ((1, "bytes after the chunk's last record"), (3, "a record ends early")):
        (stacks,) = packed(capture(chunk(STACKS, OLD, OLD, count=count)))
        with pytest.raises(CorruptRecord, match=said):
            list(stacks.select(wanted))
