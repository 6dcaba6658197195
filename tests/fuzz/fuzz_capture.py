"""Feed mutated captures to the reader, which must give records or a CaptureError in bounded time and memory.

    PYTHONPATH=format python tests/fuzz/fuzz_capture.py SECONDS [SEED]

A quarter of the inputs is mutated as a file, the others inside the chunks, which are then compressed again:
else the checksums would keep most mutations from the decoder. An input that breaks the rule is kept in the current
directory and named.
"""

from __future__ import annotations

import io
import random
import resource
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import zstandard

from httpcapture import (
    MAX_FRAMES,
    MAX_MEMORY,
    MAX_PART,
    MAX_REGISTERS,
    Calls,
    CaptureError,
    Completions,
    Connections,
    JitMap,
    PackedStacks,
    Reader,
    Record,
    Section,
    ShortCalls,
    Stack,
)
from httpcapture.frames import FrameReader
from support.capture_samples import write_capture

MAX_SECONDS = 1.0  # of CPU time for one input
MAX_ADDRESS_SPACE = 1 << 30  # bytes
HEADER_SIZE = 24
INTERESTING = [b"\x00", b"\x7f", b"\x80", b"\x90", b"\xc0", b"\xc1", b"\xff"] + [
    bytes([code]) + struct.pack(">I", size)
    for code in (0xC6, 0xC9, 0xDB, 0xDD, 0xDF)
    for size in (0, 1, 65_537, 2**20 + 1, 2**31, 2**32 - 1)
]

COMPRESSOR = zstandard.ZstdCompressor(level=1, write_checksum=True)


class Mutator:
    """Make inputs from one good capture."""

    def __init__(self, capture: bytes, draw: random.Random) -> None:
        self._draw = draw
        self._capture = capture
        self._contents = list(FrameReader(io.BytesIO(capture)))

    def next(self) -> bytes:
        if self._draw.random() < 0.25:
            return self._mutated(self._capture)
        contents = list(self._contents)
        for _ in range(self._draw.randint(1, 3)):
            at = self._draw.randrange(self._draw.random() > 0.1, len(contents))  # rarely META: it ends the reading
            contents[at] = self._mutated(contents[at])
        if self._draw.random() < 0.2:
            self._draw.shuffle(contents)
        return self._capture[:HEADER_SIZE] + b"".join(map(COMPRESSOR.compress, contents))

    def _mutated(self, data: bytes) -> bytes:
        mutated = bytearray(data)
        for _ in range(self._draw.randint(1, 4)):
            start = self._draw.randrange(len(mutated) + 1)
            end = min(len(mutated), start + self._draw.choice((0, 1, 1, 1, 2, 4, 8, 64)))
            mutated[start:end] = self._draw.choice(
                (
                    self._draw.choice(INTERESTING),
                    self._draw.randbytes(end - start),
                    bytes(mutated[start:end]) * 2,
                    b"",
                    self._draw.choice(INTERESTING) * self._draw.choice((1, 30, 2000)),
                )
            )
        return bytes(mutated)


def check(data: bytes) -> str:
    """Read an input and return how that ended. Any exception but CaptureError is a finding."""
    try:
        reader = Reader(io.BytesIO(data), "input")
        for record in reader:
            check_bounds(record)
        for packed in Reader(io.BytesIO(data), "input").packed():
            assert not isinstance(packed, PackedStacks) or not any(stack for _, stack in packed.select(()))
    except CaptureError as error:
        assert str(error).startswith("input: ")
        assert len(str(error)) < 1000
        assert str(error).isprintable()
        return type(error).__name__
    return "cut off" if reader.cut_off else "whole"


def check_bounds(record: Record) -> None:
    """Check what the format promises about a record whatever is in the file."""
    if isinstance(record, (Calls, Completions, Connections, ShortCalls)):
        assert all(column.nbytes % max(record.rows, 1) == 0 for column in record.columns.values())
    elif isinstance(record, Stack):
        assert len(record.frames) <= MAX_FRAMES
        assert len(record.registers) <= MAX_REGISTERS
        assert len(record.memory) <= MAX_MEMORY
        assert 0 <= record.memory_address < 1 << 64
    elif isinstance(record, (Section, JitMap)):
        assert len(record.data) <= MAX_PART
        assert 0 <= record.start < 1 << 64


def fuzz(captures: Sequence[bytes], check: Callable[[bytes], str]) -> int:
    """Give mutations of these captures to `check`, as the command line asks; return the exit status."""
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    draw = random.Random(seed)
    mutators = [Mutator(capture, draw) for capture in captures]
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = draw.choice(mutators).next()
        start = time.process_time()
        try:
            outcomes[check(data)] += 1
            slowest = max(slowest, time.process_time() - start)
            assert slowest < MAX_SECONDS, f"{slowest:.1f} s for one input"
        except Exception:
            kept = Path(f"{Path(sys.argv[0]).stem}-{seed}-{sum(outcomes.values())}.cap")
            kept.write_bytes(data)
            traceback.print_exc()
            print(f"kept the input in {kept}")
            return 1
    print(f"{sum(outcomes.values())} inputs, slowest {slowest * 1000:.1f} ms, seed {seed}: {dict(outcomes)}")
    return 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE))
    sys.exit(fuzz([write_capture()], check))
