"""FORMAT.md says what the code does: its tables, its limits, and its worked example to the byte."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import pytest
from worked_example import example_capture, example_records, hex_dump, parse_dump

import httpcapture
from httpcapture import Calls, Completions, Reader, batch, chunks, frames, header, layout
from httpcapture.codec import Bool, Bytes, ListOf, MapOf, Struct, Text, UInt

FORMAT = Path(__file__).parents[2] / "format" / "FORMAT.md"
EXAMPLE = re.compile(r"(<!-- worked example -->\n```\n)(.*?)(```\n<!-- end of worked example -->)", re.DOTALL)
KINDS: dict[str, Struct[Any]] = {
    "META": chunks.META,
    "MODULE": chunks.MODULE,
    "SECTION": chunks.SECTION,
    "PROCESS": chunks.PROCESS,
    "JIT_MAP": chunks.JIT_MAP,
    "STACKS": chunks.STACK,
    "CALLS": chunks.BATCH,
    "LOST": chunks.LOST,
    "END": chunks.END,
}


def documented_example() -> str:
    found = EXAMPLE.search(FORMAT.read_text())
    assert found
    return found[2].rstrip("\n")


def test_the_worked_example_is_what_the_writer_writes() -> None:
    dump = hex_dump(example_capture())
    if os.environ.get("BLESS"):
        text = FORMAT.read_text()
        FORMAT.write_text(EXAMPLE.sub(lambda found: found[1] + dump + "\n" + found[3], text))
    assert documented_example() == dump
    assert parse_dump(documented_example()) == example_capture()


def test_the_worked_example_is_what_the_reader_reads() -> None:
    reader = Reader(io.BytesIO(parse_dump(documented_example())))
    records = list(reader)
    calls, completions = records[7:9]
    assert records[:7] + records[9:] == example_records()
    assert isinstance(calls, Calls)
    assert isinstance(completions, Completions)
    assert reader.cut_off is None
    assert list(calls.columns["connection"].cast("Q")) == [77, 77, 78]
    assert list(calls.columns["t0"].cast("Q")) == [5_100_000_000, 5_380_000_000, 5_200_000_000]
    assert list(calls.columns["t2"].cast("Q")) == [5_350_000_000, 5_620_000_000, 5_410_000_000]
    assert bytes(calls.columns["comm"]) == b"nova-apinova-apiworker\0\0"
    assert list(calls.columns["pid"].cast("I")) == [4242, 4242, 4242]
    assert list(calls.columns["local_port"].cast("H")) == [40001, 40001, 40002]
    assert list(calls.columns["role"]) == [1, 1, 1]
    assert list(calls.columns["outcome"]) == [0, 0, 1]
    assert list(completions.columns["t3"].cast("Q")) == [5_360_000_000]


def tables(title: str) -> list[list[list[str]]]:
    """The tables of a section: their rows' cells, without the heads."""
    section = FORMAT.read_text().split(f"\n{title}\n")[1].split("\n#")[0]
    found = re.findall(r"\| field \|.*\n\| --- .*\n((?:\|.*\n)+)", section)
    return [[[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()] for table in found]


def described(codec: object) -> tuple[str, str]:
    """A codec as the columns "type" and "at most" give it."""
    if isinstance(codec, UInt):
        return f"u{codec.bits}", ""
    if isinstance(codec, Bool):
        return "bool", ""
    if isinstance(codec, (Text, Bytes)):
        return type(codec).__name__.lower(), f"{codec.limit:,}"
    if isinstance(codec, (ListOf, MapOf)):
        item = "array" if isinstance(codec.item, Struct) else described(codec.item)[0]
        return f"{type(codec).__name__[:-2].lower()} of {item}", f"{codec.limit:,}"
    assert isinstance(codec, chunks.LayoutCodec)
    return "layout", ""


def structs(codec: Struct[Any]) -> list[Struct[Any]]:
    """A codec and those inside it, each once, in the order in which they are described."""
    found = [codec]
    for field in codec.fields.values():
        inner = field.item if isinstance(field, ListOf) else field
        if isinstance(inner, Struct):
            found += [struct for struct in structs(inner) if struct not in found]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_tables_are_the_codecs(kind: str) -> None:
    codec = KINDS[kind]
    documented = tables(f"### {kind} ({chunks.Kind[kind].value})")
    unique = {struct.cls: struct for struct in structs(codec)}
    assert len(documented) == len(unique)
    for table, struct in zip(documented, unique.values()):
        assert [(row[0], row[1], row[2]) for row in table] == [
            (name, *described(field)) for name, field in struct.fields.items()
        ]
        assert sum(not row[3] for row in table) == struct.required


def test_the_kinds_are_the_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", FORMAT.read_text(), re.MULTILINE)
    assert [(int(number), name) for number, name in rows] == [(kind.value, kind.name) for kind in chunks.Kind]


def test_the_version_and_the_limits_are_the_codes() -> None:
    text = FORMAT.read_text()
    assert text.startswith(f"# The capture file, version {header.MAJOR}.{header.MINOR}\n")
    assert frames.MAX_CONTENT == batch.MAX_ROWS_SIZE == 8_388_608
    assert layout.MAX_ROW == 4096
    for name in ("PATH", "TEXT", "NAMES", "MAPS", "MODULES", "FRAMES", "REGISTERS", "MEMORY", "PART"):
        assert f"{getattr(httpcapture, f'MAX_{name}'):,}" in text
