"""Check what becomes of writes to a stream that nobody reads, that is closed, or that takes nothing for a while."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from httpcapture.standard_streams import RawStream, failure, reader_gone


def test_the_first_failure_is_handed_on_and_what_comes_later_is_dropped() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    errors: list[OSError] = []
    stream = RawStream(writing, errors.append)

    assert [stream.write(b"abc"), stream.write(b"de")] == [3, 2]

    assert [error.errno for error in errors] == [errno.EPIPE] and reader_gone(errors[0])
    assert stream.error is errors[0]
    os.close(writing)


def test_a_failure_may_be_raised_once() -> None:
    def fail(error: OSError) -> None:
        raise ValueError(failure("standard output", error))

    reading, writing = os.pipe()
    stream = RawStream(writing, fail)
    os.close(reading)
    os.close(writing)

    with pytest.raises(ValueError, match=r"^cannot write to standard output: it is closed$"):
        stream.write(b"abc")
    assert stream.write(b"abc") == 3


def test_a_stream_that_takes_nothing_now_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    sent, received = bytes(range(256)) * 4096, bytearray()

    def read() -> None:
        while len(received) < len(sent):
            received.extend(os.read(reading, 1 << 12))

    reader = threading.Thread(target=read)
    reader.start()
    stream, rest = RawStream(writing), memoryview(sent)
    while rest:
        rest = rest[stream.write(rest) :]
    reader.join()

    assert received == sent and stream.error is None
    os.close(reading)
    os.close(writing)
