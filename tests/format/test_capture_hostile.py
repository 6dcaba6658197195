"""Check that the reader takes little memory whatever an untrusted capture declares, and reports what it refuses."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import msgpack
import pytest
import zstandard

from httpcapture import Calls, Completions, Connections, CorruptRecord, Reader, ShortCalls
from support.capture_bytes import (
    CALL_CAUSES,
    CALLS,
    CODE,
    END,
    HEAD_TEXT,
    HEADS,
    JIT_MAP,
    LOST,
    META_KIND,
    MODULE,
    PROCESS,
    SECTION,
    STACKS,
    capture,
    chunk,
    frame,
    header,
    layout_object,
    meta_object,
    objects,
)
from support.capture_samples import CALL_LAYOUT

MiB = 1 << 20
CONTENT = 8 * MiB
COLUMNS = 1 + len(CALL_LAYOUT.fields) - 2  # the sizes of groups come first; t0, t1 and t2 share one
U32_MAX = b"\xff\xff\xff\xff"
OLDER: list[object] = [b"", b"", 0, b"", 0, "", b"", 0, 0]  # the fields of a stack before those of Python


def head(kind: int, count: int = 1) -> bytes:
    return objects([kind, count])


def nested(levels: int, width: bytes, fill: bytes = b"") -> bytes:
    return width * levels + fill


def one_call(bad: bytes, place: int) -> bytes:
    """Return a chunk of one call with this as one of its columns."""
    widths = [4, 8, 8, 8, 16, 16, 16, 4, 2, 2, 24, *[8] * 4, 16, 8, 16, 4, 4, 4, *[1] * 5]
    columns = [b"\1".ljust(width, b"\0") for width in widths]
    columns[place] = bad
    return head(CALLS) + objects([1, columns, 1])


def raw_block_frame(size: int, block: bytes, descriptor: int = 0xE4, window: bytes = b"") -> bytes:
    """Return one raw block that declares `size` (RFC 8878, 3.1.1); 0xE4: 8-byte size, single segment, checksum."""
    start = struct.pack("<IB", 0xFD2FB528, descriptor) + window + struct.pack("<Q", size)
    return start + (len(block) << 3 | 1).to_bytes(3, "little") + block + bytes(4)


def streamed(content: bytes) -> bytes:
    """Return a frame that does not declare its size."""
    compressor = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return compressor.compress(content) + compressor.flush()


ZEROS = zstandard.ZstdCompressor(level=19, write_checksum=True).compress(bytes(200_000_000))
EMPTY_LISTS = (b"\xdc\xff\xff" + b"\x90" * 65_535) * 120  # no list is long, all together take 500 MB
LIST_OF_EMPTY = b"\xdc\x00\x78" + EMPTY_LISTS
PROCESS_START = objects(1, 2, 3, b"", b"", 0, b"")

FRAMES = {
    "200 MB declared in a few KB": (ZEROS, "declared size"),
    "2**64 - 2 bytes declared": (raw_block_frame(2**64 - 2, b"x"), "declared size"),
    "no size declared": (streamed(head(LOST) + objects([1, {}])), "declared size"),
    "an empty chunk": (frame(b""), "declared size"),
    "no checksum": (zstandard.ZstdCompressor().compress(head(LOST) + objects([1, {}])), "must have a checksum"),
    "a dictionary": (raw_block_frame(3, b"abc", descriptor=0xE5, window=b"\x01"), "must have a checksum"),
    "a window of 128 MiB": (raw_block_frame(3, b"abc", descriptor=0xC4, window=b"\x88"), "must have a checksum"),
    "a reserved bit": (raw_block_frame(3, b"abc", descriptor=0xEC), "zstd: "),
    "less in it than declared": (raw_block_frame(100, b"x"), "zstd: |declares"),
    "more in it than declared": (raw_block_frame(1, b"x" * 100), "zstd: |declares"),
    "endless empty blocks": (
        struct.pack("<IBQ", 0xFD2FB528, 0xE4, 10) + bytes(3 * MiB),
        "more than 1034 compressed bytes",
    ),
    "a block of 2 MiB": (struct.pack("<IBQ", 0xFD2FB528, 0xE4, 10) + b"\xf8\xff\xff" + bytes(3 * MiB), "a block"),
}
CONTENTS = {
    "no msgpack": b"\xc1" * 100,
    "2**32 records": objects([LOST, 2**32 - 1]) + objects([1, {}]),
    "a count beyond u32": objects([LOST, 2**32], [1, {}]),
    "a record of 2**32 fields": head(LOST) + b"\xdd" + U32_MAX,
    "bytes of 2**32": head(STACKS) + b"\x95\x01\x01\x01\x01\xc6" + U32_MAX,
    "a text of 2**32": head(END) + b"\x97\x01\xdb" + U32_MAX,
    "a map of 2**32": head(LOST) + b"\x92\x01\xdf" + U32_MAX,
    "an extension of 2**32": head(LOST) + b"\x92\xc9" + U32_MAX + b"\x01",
    "a timestamp": head(LOST) + b"\x92\xd7\xff" + U32_MAX * 2 + b"\x80",
    "a list of 2**32": head(CALLS) + b"\x92\x01\xdd" + U32_MAX,
    "nested lists of 2**32": head(LOST) + b"\x92" + nested(1500, b"\xdd" + U32_MAX),
    "nested lists of 1000": head(LOST) + b"\x92" + nested(1500, b"\xdc\x03\xe8"),
    "nested maps": head(LOST) + b"\x92\x01" + nested(2000, b"\x81\xa1a"),
    "nested deep in an appended field": head(LOST) + b"\x93\x01\x80" + nested(1_000_000, b"\x91"),
    "8 M empty lists for a number": head(LOST) + b"\x92" + LIST_OF_EMPTY,
    "8 M empty lists for a list of pairs": head(PROCESS) + b"\x99" + PROCESS_START + LIST_OF_EMPTY,
    "8 M empty lists as columns": head(CALLS) + b"\x92\x01" + LIST_OF_EMPTY,
    "2**32 rows": head(CALLS) + objects([2**32 - 1, [b""] * COLUMNS, 1]),
    "rows that take 9 MiB": head(CALLS) + objects([9 * MiB // 200, [b""] * COLUMNS, 1]),
    "batches that take 9 MiB": head(CALLS, 9) + objects([MiB // 200, [b""] * COLUMNS, 1]) * 9,
    "too few columns": head(CALLS) + objects([0, []]),
    "a column for each field": head(CALLS) + objects([0, [b""] * (1 + len(CALL_LAYOUT.fields))]),
    "more groups than rows": head(CALLS) + objects([1, [b""] * COLUMNS, 2]),
    "rows without groups": head(CALLS) + objects([1, [b""] * COLUMNS]),
    "groups without rows": head(CALLS) + objects([0, [b""] * COLUMNS, 1]),
    "a short column": one_call(b"", 11),
    "a long column": one_call(bytes(9), 11),
    "a column of 200 MB in a few KB": one_call(ZEROS[:8], 10),
    "a packed column that declares more": one_call(zstandard.compress(bytes(25)), 10),
    "a packed column that declares nothing": one_call(streamed(bytes(24)), 10),
    "a packed column that holds less": one_call(raw_block_frame(24, b"x" * 2), 10),
    "a column that is no zstd frame": one_call(b"no frame", 10),
    "a group of 2**32 rows": one_call(U32_MAX, 0),
    "a group of no rows": one_call(bytes(4), 0),
    "a text for a number": head(LOST) + objects(["1", {}]),
    "a float for a number": head(LOST) + objects([1.0, {}]),
    "true for a number": head(LOST) + objects([True, {}]),
    "nil for a number": head(LOST) + objects([None, {}]),
    "a negative number": head(LOST) + objects([-1, {}]),
    "a number for a text": head(END) + objects([1, 2, True, 0, 0, 0, {}]),
    "a number for true": head(END) + objects([1, "", 1, 0, 0, 0, {}]),
    "bytes for a text": head(END) + objects([1, b"", True, 0, 0, 0, {}]),
    "a text for bytes": head(MODULE) + objects([1, "/bin/x", b"", 0, b"", ""]),
    "a text that is no UTF-8": head(END) + b"\x97\x01\xa1\xff\xc3\0\0\0\x80",
    "a list for a map": head(LOST) + objects([1, []]),
    "a map for a list": head(PROCESS) + objects([1, 2, 3, b"", b"", 0, b"", {}, ""]),
    "a map for a record": head(LOST) + objects({"at_ns": 1}),
    "a number for a record": head(LOST) + objects(1),
    "a number as a name": head(LOST) + objects([1, {1: 2}]),
    "a name twice": head(LOST) + b"\x92\x01\x82\xa1a\x01\xa1a\x02",
    "2000 names": head(LOST) + objects([1, {str(n): n for n in range(2000)}]),
    "a required field missing": head(LOST) + objects([1]),
    "half an address": head(STACKS) + objects([1, 2, 3, 4, b"1234567"]),
    "half a register": head(STACKS) + objects([1, 2, 3, 4, b"", b"1234567"]),
    "1 MiB of registers": head(STACKS) + objects([1, 2, 3, 4, b"", bytes(MiB)]),
    "registers of 2**32": head(STACKS) + b"\x98\x01\x01\x01\x01\xc4\0\xc6" + U32_MAX,
    "stack memory of 65537": head(STACKS) + objects([1, 2, 3, 4, b"", b"", 5, bytes(65_537)]),
    "stack memory of 2**32": head(STACKS) + b"\x98\x01\x01\x01\x01\xc4\0\xc4\0\x01\xc6" + U32_MAX,
    "stack memory as 8 M empty lists": head(STACKS) + b"\x98\x01\x01\x01\x01\xc4\0\xc4\0\x01" + LIST_OF_EMPTY,
    "a machine beyond u16": head(MODULE) + objects([1, b"/bin/x", b"", 0, b"", "", 65_536]),
    "a part of a section of 1 MiB and a byte": head(SECTION) + objects([1, "", 2, 3, 0, bytes(MiB + 1)]),
    "a part of a section of 2**32": head(SECTION) + b"\x96\x01\xa0\x01\x01\0\xc6" + U32_MAX,
    "a part of a section of 7 MiB": head(SECTION) + objects([1, ".symtab", 2, 7 * MiB, 0, bytes(7 * MiB)]),
    "a negative place in a section": head(SECTION) + objects([1, "", 2, 3, -1, b""]),
    "a section's name of 1 MiB": head(SECTION) + objects([1, "x" * MiB, 2, 3, 0, b""]),
    "a section named in bytes": head(SECTION) + objects([1, b".symtab", 2, 3, 0, b""]),
    "a section's data as text": head(SECTION) + objects([1, ".symtab", 2, 3, 0, "text"]),
    "a part of a JIT map of 1 MiB and a byte": head(JIT_MAP) + objects([1, 2, 3, 0, bytes(MiB + 1)]),
    "a part of a JIT map of 2**32": head(JIT_MAP) + b"\x95\x01\x01\x01\0\xc6" + U32_MAX,
    "a JIT map as 8 M empty lists": head(JIT_MAP) + b"\x95\x01\x01\x01\0" + LIST_OF_EMPTY,
    "a line table of 65537": head(CODE) + objects([1, 2, 3, 4, "", b"", 1, b"", 1, 5, bytes(65_537)]),
    "a line table of 2**32": head(CODE) + b"\x9b\x01\x01\x01\x01\xa0\xc4\0\x01\xc4\0\x01\x05\xc6" + U32_MAX,
    "Python frames of 65544": head(STACKS) + objects([1, 2, 3, 4, *OLDER, bytes(65_544)]),
    "a head of 4097 bytes": head(HEAD_TEXT) + objects([1, bytes(4097)]),
    "a head of 2**32": head(HEAD_TEXT) + b"\x92\x01\xc6" + U32_MAX,
    "heads of half a call": head(HEADS) + objects([bytes(8), bytes(4), bytes(4), b"ab"]),
    "heads of 65537 calls": head(HEADS) + objects([bytes(8 * 65537), *[bytes(4 * 65537)] * 3]),
    "fewer requests than calls with heads": head(HEADS) + objects([bytes(16), bytes(8), bytes(4), bytes(8)]),
    "more sequences than calls with heads": head(HEADS) + objects([bytes(8), bytes(8), bytes(4), bytes(4)]),
    "causes of half a call": head(CALL_CAUSES) + objects([bytes(8), bytes(4), bytes(8), bytes(2), b"\2", b"\3"]),
    "causes of 65537 calls": head(CALL_CAUSES)
    + objects([bytes(8 * 65537), bytes(4 * 65537), bytes(8 * 65537), bytes(4 * 65537), *[bytes(65537)] * 2]),
    "more rules than calls with causes": head(CALL_CAUSES)
    + objects([bytes(8), bytes(4), bytes(8), bytes(4), b"\2", b"\3\3"]),
    "fewer causes than calls with causes": head(CALL_CAUSES)
    + objects([bytes(16), bytes(8), bytes(8), bytes(4), b"\2\2", b"\3\3"]),
    "a pid beyond u32": head(STACKS) + objects([1, 2**32, 3, 4, b""]),
    "a path of 1 MiB": head(MODULE) + objects([1, bytes(MiB), b"", 0, b"", ""]),
}
LAYOUTS = {
    "a row of 4 GiB": [2**32 - 8, []],
    "a row of no bytes": [0, []],
    "2000 fields": [4096, [[f"f{n}", "u8", n, ""] for n in range(2000)]],
    "a field outside of the row": [8, [["a", "u64", 8, ""]]],
    "a field at 2**32 - 1": [8, [["a", "u64", 2**32 - 1, ""]]],
    "one name twice": [8, [["a", "u8", 0, ""], ["a", "u8", 1, ""]]],
    "an escape in a name": [8, [["\x1b[2J", "u8", 0, ""]]],
    "a field of two fields": [8, [["a", "u8"]]],
    "differences of bytes": [8, [["a", "bytes8", 0, "", "delta"]]],
    "a coding in bytes": [8, [["a", "u8", 0, "", b"delta"]]],
    "fields on top of each other": [8, [["a", "u64", 0, ""], ["b", "u8", 0, ""]]],
}


def refusal(data: bytes) -> CorruptRecord:
    """Return the error that reading everything raises, while tracemalloc limits what Python and msgpack allocate."""
    tracemalloc.start()
    try:
        with pytest.raises(CorruptRecord) as raised:
            for record in Reader(io.BytesIO(data), "run.cap"):
                if isinstance(record, (Calls, Completions, Connections, ShortCalls)):
                    dict(record.columns)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * CONTENT
    return raised.value


@pytest.mark.parametrize(("bad", "reason"), FRAMES.values(), ids=FRAMES)
def test_a_hostile_frame(bad: bytes, reason: str) -> None:
    error = refusal(capture() + bad + chunk(LOST, [1, {}]))
    assert error.position == len(capture())
    assert re.search(reason, error.reason)


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_hostile_chunk(content: bytes) -> None:
    error = refusal(capture(frame(content)))
    assert error.position == len(capture())
    assert re.search(r"[\w)]$", error.reason), error.reason


def test_what_is_nested_too_deep_is_refused_with_the_limit() -> None:
    lists, maps = nested(1025, b"\x91", b"\1"), nested(1025, b"\x81\xa1a", b"\1")
    for appended in (lists, maps, nested(1024, b"\x91", b"\x90"), nested(1024, b"\x92\1", b"\x80")):
        reason = refusal(capture(frame(head(LOST) + b"\x95\1\x80\0\x90" + appended))).reason
        assert reason == "arrays or maps are nested more than 1,024 deep"


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_hostile_layout(layout: object) -> None:
    good = layout_object(CALL_LAYOUT)
    for layouts in ((layout, good), (good, layout)):
        assert refusal(capture(meta=meta_object(*layouts))).position == len(header())


def test_rows_without_known_columns_are_bounded_too() -> None:
    """No other limit would keep a reader from allocating memory for such rows."""
    meta = meta_object(call_layout=[8, [["share", "f64", 0, ""]]])
    assert "34359738360 bytes of rows" in refusal(capture(chunk(CALLS, [2**32 - 1, [b""]]), meta=meta)).reason


def test_a_meta_of_another_kind_of_content() -> None:
    assert refusal(header() + frame(head(META_KIND) + nested(2000, b"\x91"))).position == len(header())


def test_what_is_refused_is_also_what_a_plain_msgpack_reader_would_swallow() -> None:
    """A plain reader shows the amplification that the codec prevents; without it, this test would prove nothing."""
    tracemalloc.start()
    try:
        msgpack.unpackb(b"\xdd" + struct.pack(">I", MiB) + b"\x90" * MiB, max_array_len=MiB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak > 40 * MiB


READ = """
import resource, sys
from httpcapture import CaptureError, Reader
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    for record in Reader(sys.stdin.buffer, "run.cap"):
        pass
except CaptureError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

WHOLE_PROCESS = {
    "200 MB declared in a few KB": ("CORRUPT", capture() + ZEROS),
    "8 M empty lists": ("CORRUPT", capture(frame(CONTENTS["8 M empty lists for a number"]))),
    "nested lists": ("CORRUPT", capture(frame(CONTENTS["nested lists of 2**32"]))),
    "a skippable frame of 4 GiB, cut off": ("CUT", capture() + struct.pack("<II", 0x184D2A55, 2**32 - 1)),
    "40 chunks of 8 MiB in a few KB": ("FINE", capture(*[frame(head(99) + bytes(CONTENT - 8))] * 40)),
}


@pytest.mark.parametrize(("outcome", "data"), WHOLE_PROCESS.values(), ids=WHOLE_PROCESS)
def test_the_memory_of_the_whole_process_is_bounded(outcome: str, data: bytes) -> None:
    path = str(Path(sys.modules["httpcapture"].__file__ or "").parents[1])
    command = [sys.executable, "-c", READ]
    done = subprocess.run(command, input=data, capture_output=True, check=True, env={"PYTHONPATH": path})
    *errors, grown = done.stdout.decode().splitlines()
    assert len(errors) == (outcome == "CORRUPT")
    assert int(grown) < 64 * 1024  # KiB


def test_the_small_file_of_zeros_is_small() -> None:
    assert len(ZEROS) < 10_000
