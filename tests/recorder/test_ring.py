"""Check that a ring is read as the kernel writes it: in order, each record once, and no unfinished record."""

from __future__ import annotations

import struct
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import RING_HEADER
from httprec.ring import Ring
from support.synthetic import PAGE, KernelRing


@pytest.fixture
def kernel() -> Iterator[KernelRing]:
    producer = KernelRing(PAGE)
    yield producer
    producer.close()


@contextmanager
def threads_that_alternate() -> Iterator[None]:
    """Let threads alternate every few instructions instead of every 5 ms."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def rows_of(span: memoryview, size: int) -> list[bytes]:
    stride = RING_HEADER + size
    assert len(span) % stride == 0
    return [bytes(span[start + RING_HEADER : start + stride]) for start in range(0, len(span), stride)]


def test_an_empty_ring_has_no_records(kernel: KernelRing) -> None:
    ring = Ring(kernel.fd, kernel.size)
    assert list(ring.records()) == [] and len(ring.rows(40)) == 0


def test_rows_come_as_one_span_with_their_headers(kernel: KernelRing) -> None:
    ring, rows = Ring(kernel.fd, kernel.size), [bytes([number]) * 40 for number in range(5)]
    for row in rows:
        kernel.output(row)
    span = ring.rows(40)
    assert bytes(span) == b"".join(struct.pack("<II", 40, 0) + row for row in rows)


def test_rows_stay_until_they_are_consumed(kernel: KernelRing) -> None:
    ring = Ring(kernel.fd, kernel.size)
    for number in range(3):
        kernel.output(bytes([number]) * 40)
    assert len(ring.rows(40)) == len(ring.rows(40)) == 3 * 48
    assert kernel.consumed == 0
    ring.consume(2 * 48)
    assert kernel.consumed == 2 * 48
    assert rows_of(ring.rows(40), 40) == [b"\2" * 40]


def test_rows_end_before_the_first_that_is_being_written(kernel: KernelRing) -> None:
    ring = Ring(kernel.fd, kernel.size)
    kernel.output(b"a" * 40)
    position = kernel.reserve(b"b" * 40)
    kernel.output(b"c" * 40)
    assert rows_of(ring.rows(40), 40) == [b"a" * 40]
    ring.consume(48)
    assert len(ring.rows(40)) == 0
    assert position is not None
    kernel.commit(position, 40)
    assert rows_of(ring.rows(40), 40) == [b"b" * 40, b"c" * 40]


def test_rows_may_be_finished_while_they_are_read() -> None:
    kernel, rows, seen = KernelRing(64 * PAGE), [number.to_bytes(40, "little") for number in range(3000)], 0
    ring = Ring(kernel.fd, kernel.size)
    with threads_that_alternate(), ThreadPoolExecutor(1) as pool:
        written = pool.submit(lambda: [kernel.output(row) for row in rows])
        while seen < len(rows):
            span = ring.rows(40)
            found = rows_of(span, 40)
            assert found == rows[seen : seen + len(found)]
            seen += len(found)
            ring.consume(len(span))
    assert all(written.result())
    kernel.close()


def test_records_end_before_the_first_that_is_being_written(kernel: KernelRing) -> None:
    ring = Ring(kernel.fd, kernel.size)
    kernel.output(b"a" * 13)
    position = kernel.reserve(b"b" * 3)
    kernel.output(b"c")
    assert list(ring.records()) == [b"a" * 13]
    assert list(ring.records()) == []
    assert position is not None
    kernel.commit(position, 3)
    assert list(ring.records()) == [b"bbb", b"c"]
    assert kernel.consumed == kernel.produced


def test_a_discarded_record_is_passed_over(kernel: KernelRing) -> None:
    ring = Ring(kernel.fd, kernel.size)
    kernel.output(b"a" * 8)
    kernel.output(b"b" * 20, discard=True)
    kernel.output(b"c" * 8)
    assert list(ring.records()) == [b"a" * 8, b"c" * 8]
    assert kernel.consumed == kernel.produced


def test_a_record_that_wraps_around_is_whole(kernel: KernelRing) -> None:
    ring, row = Ring(kernel.fd, kernel.size), bytes(range(40))
    kernel.start_at(7 * PAGE - 24)  # the first row ends 24 bytes into the next round
    kernel.output(row)
    kernel.output(row[::-1])
    assert rows_of(ring.rows(40), 40) == [row, row[::-1]]
    assert list(ring.records()) == [row, row[::-1]]


def test_a_full_ring_is_one_span(kernel: KernelRing) -> None:
    ring = Ring(kernel.fd, kernel.size)
    kernel.start_at(3 * PAGE + 1000)
    count = 0
    while kernel.output(bytes([count]) * 56):
        count += 1
    assert count == PAGE // 64
    assert rows_of(ring.rows(56), 56) == [bytes([number]) * 56 for number in range(count)]
    ring.consume(PAGE)
    assert len(ring.rows(56)) == 0
    assert kernel.output(b"next" * 14) and rows_of(ring.rows(56), 56) == [b"next" * 14]


STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 300)),
    st.tuples(st.just("discard"), st.integers(0, 300)),
    st.tuples(st.just("reserve"), st.integers(0, 300)),
    st.tuples(st.just("commit"), st.integers(0, 3)),
    st.tuples(st.just("drain"), st.just(0)),
)


@settings(max_examples=100)
@given(st.integers(0, 1000), st.lists(STEPS, max_size=40))
def test_records_are_those_of_a_queue(start: int, steps: list[tuple[str, int]]) -> None:
    kernel = KernelRing(PAGE)
    kernel.start_at(8 * start)
    ring, read = Ring(kernel.fd, kernel.size), []
    queue: deque[bytes | None] = deque()  # None: discarded
    waiting: dict[int, int] = {}  # busy records: place in the queue since the start, by position
    written = taken = 0
    for step, number in steps:
        payload = written.to_bytes(4, "little") * (number // 4 + 1)
        payload = payload[:number]
        if step in ("write", "discard") and kernel.output(payload, discard=step == "discard"):
            queue.append(None if step == "discard" else payload)
            written += 1
        elif step == "reserve":
            position = kernel.reserve(payload)
            if position is not None:
                queue.append(payload)
                waiting[position] = written
                written += 1
        elif step == "commit" and waiting:
            position = sorted(waiting)[number % len(waiting)]
            kernel.commit(position, len(queue[waiting.pop(position) - taken] or b""))
        elif step == "drain":
            read = list(ring.records())
            expected = []
            while queue and taken not in waiting.values():
                record = queue.popleft()
                taken += 1
                expected += [] if record is None else [record]
            assert read == expected
    kernel.close()


@settings(max_examples=100)
@given(st.integers(0, 500), st.sampled_from([8, 40, 264]), st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12))))
def test_rows_are_those_of_a_queue(start: int, size: int, rounds: list[tuple[int, int]]) -> None:
    kernel = KernelRing(PAGE)
    kernel.start_at(8 * start)
    ring, number = Ring(kernel.fd, kernel.size), 0
    queue: deque[bytes] = deque()
    for writes, reads in rounds:
        for _ in range(writes):
            row = number.to_bytes(8, "little") * (size // 8)
            if kernel.output(row):
                queue.append(row)
                number += 1
        assert rows_of(ring.rows(size), size) == list(queue)
        for _ in range(min(reads, len(queue))):
            ring.consume(RING_HEADER + size)
            queue.popleft()
    kernel.close()


def test_rows_behind_the_end_of_a_large_ring_come_the_next_time() -> None:
    producer = KernelRing(1 << 18)
    producer.start_at(producer.size - 48)
    ring, count = Ring(producer.fd, producer.size), producer.size // 48
    for number in range(count):
        assert producer.output(number.to_bytes(40, "little"))
    seen: list[int] = []
    for _ in range(2):
        span = ring.rows(40)
        seen += [int.from_bytes(row, "little") for row in rows_of(span, 40)]
        assert ring.is_cut == (len(seen) < count)
        ring.consume(len(span))
    assert seen == list(range(count))
    producer.close()


def test_records_are_those_that_are_there_when_they_are_asked_for(kernel: KernelRing) -> None:
    ring = Ring(kernel.fd, kernel.size)
    kernel.output(b"a" * 8)
    records = ring.records()
    kernel.output(b"b" * 8)
    assert list(records) == [b"a" * 8]
    assert list(ring.records()) == [b"b" * 8]


def test_a_record_that_was_taken_is_given_back_although_no_other_one_is_asked_for(kernel: KernelRing) -> None:
    ring = Ring(kernel.fd, kernel.size)
    kernel.output(b"a" * 8)
    kernel.output(b"b" * 8)
    assert next(ring.records()) == b"a" * 8
    assert list(ring.records()) == [b"b" * 8]
