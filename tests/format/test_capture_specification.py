"""FORMAT.md says what the code does: its tables and its limits. Its example has a file of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import httpcapture
from httpcapture import batch, chunks, frames, header, layout
from httpcapture.codec import Bool, Bytes, ListOf, MapOf, Struct, Text, UInt

FORMAT = Path(__file__).parents[2] / "format" / "FORMAT.md"
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
