"""Check the limit on all records of one kind together: the reader leaves out records beyond it, the writer refuses
them, and both go on. The sizes are those of FORMAT.md, counted by hand."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

from httpcapture import (
    BeyondLimitError,
    CallCauses,
    Heads,
    HeadText,
    JitMap,
    Lost,
    MappedModule,
    Module,
    Process,
    Reader,
    Record,
    Section,
    Writer,
)
from httpcapture.file_budget import FileBudget
from support.capture_bytes import END, JIT_MAP, LOST, SECTION, capture, chunk
from support.capture_samples import META, OneByOne, write

KIB, MIB = 1 << 10, 1 << 20
PART = bytes(MIB)
LAST = chunk(END, [1, "why", True, 0, 0, 0, {}])
NAMED = Process(1, 2, 3, b"n" * KIB, b"e" * KIB, 0, bytes(4 * MIB), (), "p" * KIB)
MAPPED = Process(1, 2, 3, b"", b"", 0, b"", (MappedModule(4, 5),) * (1 << 16))
LONGEST = Module(1, b"/" * 16384, b"b" * 256, 0, b"h" * 32, "p" * 16384)
LIMITS: dict[str, tuple[list[OneByOne], int]] = {  # records, the same again and again, and how many of them fit
    "256 MiB of one section": ([Section(1, ".symtab", 0, 0, 0, PART)], 256),
    "512 MiB of sections": ([Section(n, "", 0, 0, 0, PART) for n in range(600)], 512 * KIB // (KIB + 1)),
    "16 MiB of one JIT map": ([JitMap(1, 2, 3, 0, PART)], 16),
    "256 MiB of JIT maps": ([JitMap(1, 2, n, 0, PART) for n in range(300)], 256 * KIB // (KIB + 1)),
    "512 MiB of processes and their maps": ([NAMED], 512 * MIB // (4 * MIB + 4 * KIB)),
    "512 MiB of processes and their maps ": ([MAPPED], 512 * MIB // (16 * MIB + KIB)),
    "128 MiB of modules": ([LONGEST], 128 * MIB // (2 * 16384 + 256 + 32 + KIB)),
    "256 MiB of heads": ([HeadText(1, bytes(4096))], 256 * MIB // (4096 + 128)),
    "256 MiB of calls with heads": (
        [Heads(bytes(8 << 16), *[bytes(4 << 16)] * 3)],
        256 * MIB // (20 * (1 << 16) + KIB),
    ),
    "256 MiB of causes of calls": (
        [CallCauses(*(bytes(width << 16) for width in (8, 4, 8, 4, 1, 1)))],
        256 * MIB // (26 * (1 << 16) + KIB),
    ),
    "1,024 causes of losses": ([Lost(n, {f"{n}/{m}": m for m in range(256)}) for n in range(6)], 4),
}


def read(*chunks: bytes) -> tuple[Iterator[Record], Reader]:
    reader = Reader(io.BytesIO(capture(*chunks, LAST)))
    return iter(reader), reader


@pytest.mark.parametrize(("limit", "records", "fit"), [(limit, *given) for limit, given in LIMITS.items()])
def test_so_many_records_fit_into_a_file(limit: str, records: list[OneByOne], fit: int) -> None:
    budget = FileBudget()

    taken = [budget.charge(records[number % len(records)]) for number in range(fit + 2)]

    assert taken == [None] * fit + [limit.strip()] * 2


def test_what_is_no_longer_than_what_is_left_fits_still() -> None:
    budget = FileBudget()
    for number in range(511):
        assert budget.charge(Section(number, "", 0, 0, 0, PART)) is None
    left = 512 * MIB - 511 * (MIB + KIB) - KIB

    assert budget.charge(Section(999, "", 0, 0, 0, bytes(left + 1))) == "512 MiB of sections"
    assert budget.charge(Section(999, "", 0, 0, 0, bytes(left))) is None
    assert budget.charge(Section(999, "", 0, 0, 0, b"")) == "512 MiB of sections"


def test_the_reader_leaves_out_what_is_beyond_and_reads_on() -> None:
    parts = [chunk(SECTION, [1, ".symtab", 0, 1 << 40, start * MIB, PART]) for start in range(258)]
    records, reader = read(*parts, chunk(SECTION, [1, ".strtab", 0, 9, 0, b"strings"]))

    taken = [record for record in records if isinstance(record, Section)]
    said = [(record.name, record.start >> 20) for record in taken]

    assert said == [*((".symtab", start) for start in (*range(256), 256, 257)), (".strtab", 0)]
    assert [(record.data, record.problem) for record in taken[256:]] == [
        *[(b"", "beyond the limit of 256 MiB of one section")] * 2,
        (b"strings", ""),
    ]
    assert reader.left_out == {(Section, "256 MiB of one section"): 2}
    assert reader.cut_off is None


def test_the_reader_tells_limits_apart() -> None:
    texts = [chunk(JIT_MAP, [7, 8, taken, start * MIB, PART]) for taken in (1, 2) for start in range(17)]
    ledgers = [chunk(LOST, [at, {f"cause {at} {n}": 1 for n in range(500)}]) for at in (1, 2, 3)]
    records, reader = read(*texts, *ledgers, chunk(LOST, [4, {"cause 1 0": 5}]))

    said = [record.taken_ns if isinstance(record, JitMap) else getattr(record, "at_ns", 0) for record in records]

    assert said == [0, *[1] * 17, *[2] * 17, 1, 2, 4, 1], "META, the maps, the ledgers, END"
    assert reader.left_out == {(JitMap, "16 MiB of one JIT map"): 2, (Lost, "1,024 causes of losses"): 1}


@pytest.mark.parametrize(("records", "fit"), [LIMITS[limit] for limit in [*LIMITS][::2]])
def test_the_writer_refuses_what_is_beyond_and_goes_on(records: list[OneByOne], fit: int) -> None:
    class Nowhere(io.RawIOBase):
        def write(self, data: Any, /) -> int:
            return len(data)

    writer = Writer(Nowhere(), META, level=1)
    for number in range(fit):
        write(writer, records[number % len(records)])
    with pytest.raises(BeyondLimitError, match="beyond the format's limit of"):
        write(writer, records[fit % len(records)])

    writer.lost(Lost(1, {}))


def test_what_has_no_part_that_fits_is_not_there_at_all() -> None:
    budget = FileBudget()
    for number in range(511):
        assert budget.admit(Section(number, "", 0, 0, 0, PART))

    assert [budget.admit(Section(number, "", 0, 0, 0, PART)) for number in (600, 601)] == [None, None]
    cut = budget.admit(Section(7, "", 0, 0, MIB, PART))
    assert cut and (cut.data, cut.problem) == (b"", "beyond the limit of 512 MiB of sections")
    assert budget.left_out == {(Section, "512 MiB of sections"): 3}
