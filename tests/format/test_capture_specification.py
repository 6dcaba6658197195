"""Compare the tables and limits in FORMAT.md with the code. The example and the code in FORMAT.md have tests of their
own."""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
import pytest

import httpcapture
from httpbpf.program import Sizes
from httpcapture import (
    Field,
    Layout,
    Outcome,
    Role,
    StackStatus,
    WalkStatus,
    batch_reader,
    chunks,
    file_budget,
    frames,
    header,
    layout,
)
from httpcapture.codec import MAX_DEPTH, Bool, Bytes, ListOf, MapOf, Struct, Text, UInt
from httprec import host
from httpreport.calls.causes import Rule
from httpreport.calls.certainty import Certainty
from httpreport.calls.schema import COMPLETION, CONNECTION, LATEST_NS, OPTIONAL, RECORDED, SHORT
from httpreport.languages.stack_trace import Incomplete
from httpreport.report.loss_messages import MEANING
from httpreport.unwind import Found
from support.specification import FORMAT, fenced, quoted, section, tables

KINDS: dict[str, Struct[Any]] = {
    "META": chunks.META,
    "MODULE": chunks.MODULE,
    "SECTION": chunks.SECTION,
    "PROCESS": chunks.PROCESS,
    "JIT_MAP": chunks.JIT_MAP,
    "CODE": chunks.CODE,
    "STACKS": chunks.STACK,
    "CALLS": chunks.BATCH,
    "HEAD_TEXT": chunks.HEAD_TEXT,
    "HEADS": chunks.HEADS,
    "CALL_CAUSES": chunks.CALL_CAUSES,
    "LOST": chunks.LOST,
    "END": chunks.END,
}
LISTS_OF_BYTES = [("META", "process_filters"), ("BATCH", "columns")]
META = host.meta(0, [], "fexit", Sizes(short_ring_pages=1))
BATCHES = [
    ("CALLS", META.call_layout, RECORDED, OPTIONAL),
    ("COMPLETIONS", META.completion_layout, COMPLETION, {"http2_error": 0}),
    ("CONNECTIONS", META.connection_layout, CONNECTION, {}),
    (
        "SHORT_CALLS",
        META.short_layout,
        SHORT,
        dict.fromkeys(("receive_tid", "request_seq", "response_seq", "stream"), 0),
    ),
]


def described(codec: object) -> tuple[str, str]:
    """Return a codec as the table columns "type" and "at most" describe it."""
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
    """Return a codec and the codecs inside it, each once, in the order of their descriptions."""
    found = [codec]
    for field in codec.fields.values():
        inner = field.item if isinstance(field, ListOf) else field
        if isinstance(inner, Struct):
            found += [struct for struct in structs(inner) if struct not in found]
    return found


def fields_of(kind: str) -> list[list[list[str]]]:
    return tables(section(f"### {kind} ({chunks.RecordKind[kind].value})"), "field")


def columns_of(kind: str) -> list[tuple[str, str, str]]:
    """Return, for each column in the table of a kind, its name, its type, and the value that stands in for a missing
    one."""
    found = []
    (table,) = tables(section(f"### {kind} ({chunks.RecordKind[kind].value})"), "column")
    for names, types, missing, _ in table:
        each, each_type = names.split(", "), types.split(", ")
        found += [(name, each_type[min(place, len(each_type) - 1)], missing) for place, name in enumerate(each)]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_tables_are_the_codecs(kind: str) -> None:
    codec = KINDS[kind]
    documented = fields_of(kind)
    unique = {struct.cls: struct for struct in structs(codec)}
    assert len(documented) == len(unique)
    for table, struct_ in zip(documented, unique.values()):
        assert [(row[0], row[1], row[2]) for row in table] == [
            (name, *described(field)) for name, field in struct_.fields.items()
        ]
        assert sum(not row[3] for row in table) == struct_.required


def test_the_limits_of_what_is_in_lists_and_maps_are_the_codecs() -> None:
    codecs = [field for struct_ in KINDS.values() for field in struct_.fields.values()]
    keys = {field.name.limit for field in codecs if isinstance(field, MapOf)}
    items = {name: getattr(chunks, kind).fields[name].item.limit for kind, name in LISTS_OF_BYTES}
    assert keys == {items["process_filters"]} == {16_384}
    assert items["columns"] == frames.MAX_CONTENT
    assert "an element of `process_filters`, has at most 16,384 bytes" in " ".join(FORMAT.read_text().split())


def test_the_kinds_are_the_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", FORMAT.read_text(), re.MULTILINE)
    assert [(int(number), name) for number, name in rows] == [(kind.value, kind.name) for kind in chunks.RecordKind]


@pytest.mark.parametrize(("kind", "recorded", "read", "defaults"), BATCHES)
def test_the_columns_are_those_that_httprec_writes_and_httpreport_reads(
    kind: str, recorded: Layout, read: np.dtype[np.void], defaults: dict[str, int]
) -> None:
    documented = columns_of(kind)
    assert {(name, type) for name, type, _ in documented} == {(field.name, field.type) for field in recorded.fields}
    required = {name for name, _, missing in documented if missing == "required"}
    assert required == set(read.names or ()) - defaults.keys()
    assert {name: int(missing) for name, _, missing in documented if name not in required} == {
        name: value or 0 for name, value in defaults.items()
    }


def test_the_first_columns_of_calls_are_those_of_groups() -> None:
    documented = [name for name, _, _ in columns_of("CALLS")]
    assert documented == [field.name for field in META.call_layout.fields]
    of_groups = documented[: documented.index("peer_port") + 1]
    assert len(of_groups) == 9
    assert of_groups == [field.name for field in META.call_layout.fields if field.coding == "group"]


def test_the_numbers_of_roles_and_outcomes_are_the_codes() -> None:
    (table,) = tables(section("### CALLS (5)"), "column")
    meanings = {row[0]: row[3] for row in table}
    for name, enum in (("role", Role), ("outcome", Outcome)):
        numbers = re.findall(r"(\d+) ([a-z ]+)", meanings[name])
        assert numbers == [(str(int(value)), value.name.lower().replace("_", " ")) for value in enum]
    statuses = re.findall(r"(\d+) ", meanings["stack_status"])
    assert list(map(int, statuses)) == list(StackStatus)


@pytest.mark.parametrize(
    ("title", "first", "names"),
    [("### META (1)", "name", Sizes._fields), ("### LOST (7)", "cause", tuple(MEANING))],
    ids=["limits", "causes"],
)
def test_the_names_of_limits_and_losses_are_those_that_httprec_writes(
    title: str, first: str, names: tuple[str, ...]
) -> None:
    table = tables(section(title), first)[0]
    assert sorted(name for row in table for name in quoted(row[0])) == sorted(names)


def test_the_ends_and_the_findings_of_redacted_stacks_are_those_of_httpreport() -> None:
    text = section("## Redacted captures")
    ends = set(re.findall(r'"([a-z_0-9]+)"', text.split("`end` tells")[1].split("`found` is")[0]))
    by_names = {Incomplete.GREENLET, Incomplete.CALLERS_SKIPPED}
    reasons = set(Incomplete) - {Incomplete.UNKNOWN, *by_names}
    assert ends == {"whole", *(reason.name.lower() for reason in reasons)}
    (found,) = tables(text, "found")
    assert [int(row[0]) for row in found] == list(Found)


def test_the_states_of_frames_that_were_walked_are_the_codes() -> None:
    (table,) = tables(section("### STACKS (4)"), "python_status, php_status")
    assert [int(row[0]) for row in table] == list(WalkStatus)


def test_the_lines_for_file_find_the_header() -> None:
    """As in libmagic, a line with one more `>` than the line before it is tested only if that one matched."""
    begin, shown = header.header(), ""
    for line in fenced("magic").splitlines():
        offset, kind, wanted, *message = re.split(r"\s{2,}", line)
        at = int(offset.lstrip(">"))
        if kind == "string":
            assert begin[at:].startswith(wanted.encode().decode("unicode_escape").encode("latin-1"))
            shown += "".join(message)
        else:
            assert (kind, wanted) == ("uleshort", "x")
            shown += "".join(message).replace(r"\b", "") % struct.unpack_from("<H", begin, at)
    assert shown == f"httprec capture, version {header.MAJOR}.{header.MINOR}"


def test_links_lead_to_headings_and_files() -> None:
    text = FORMAT.read_text()
    titles = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings
    files = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert files and all((FORMAT.parent / file).exists() for file in files)
    chapters = re.findall(r"^## (?!Summary)(.*)", text, re.MULTILINE)
    assert re.findall(r"^\d+\. \[(.*?)\]", text, re.MULTILINE) == chapters


def test_a_layout_that_breaks_a_rule_of_its_table_is_refused() -> None:
    for field, rule in [
        (Field("Name", "u8", 0), "a lower-case letter"),
        (Field("name", "bytes3", 0), "1, 2, 4 or a multiple of 8"),
        (Field("name", "u32", 2), "a multiple of the value's size"),
        (Field("name", "u64", 8), "the value ends within the row"),
        (Field("name", "bytes8", 0, coding="delta"), 'A bytesN field has no "delta"'),
    ]:
        assert rule in section("### META (1)")
        with pytest.raises(ValueError):
            layout.check_layout(Layout(8, [field]))


def test_the_version_and_the_limits_are_the_codes() -> None:
    text = FORMAT.read_text()
    assert text.startswith(f"# The capture file, version {header.MAJOR}.{header.MINOR}\n")
    assert frames.MAX_CONTENT == batch_reader.MAX_ROWS_SIZE == 8_388_608
    assert layout.MAX_ROW == 4096
    assert LATEST_NS == 1 << 62
    for name in ("PATH", "TEXT", "NAMES", "MAPS", "MODULES", "FRAMES", "REGISTERS", "MEMORY", "PART", "CODE_TABLE"):
        assert f"{getattr(httpcapture, f'MAX_{name}'):,}" in text
    assert f"of up to {httpcapture.MAX_HEADS:,} calls which heads they have" in text
    assert f"of up to {httpcapture.MAX_CALL_CAUSES:,} client calls for which" in text
    assert f"inside each other in an appended field | {MAX_DEPTH:,} |" in text


def test_the_numbers_of_causes_are_the_codes() -> None:
    text = section("### CALL_CAUSES (16)")
    assert f"a byte each: {', '.join(f'{one.value} {one.name.lower()}' for one in Certainty if one)} |" in text
    assert f"a byte each: {', '.join(f'{rule.value} {rule.text}' for rule in Rule if rule)} |" in text


def test_the_limits_of_a_file_are_the_codes() -> None:
    (table,) = re.findall(r"\| what, in one file \|.*\n\| --- .*\n((?:\|.*\n)+)", FORMAT.read_text())
    kept = ("SECTION", "SECTIONS", "JIT_MAP", "JIT_MAPS", "CODES", "PROCESSES", "ALL_MODULES")
    names = (*kept, "ALL_HEAD_TEXTS", "ALL_HEADS", "ALL_CALL_CAUSES", "CAUSES")
    assert [int(row.replace(",", "")) for row in re.findall(r"\| ([0-9,]+)(?: bytes)? \|\n", table)] == [
        getattr(httpcapture, f"MAX_{name}") for name in names
    ]
    assert f"{file_budget.RECORD_BYTES:,} bytes more" in FORMAT.read_text()
    assert f"{file_budget.HEAD_TEXT_BYTES} bytes more if it is a HEAD_TEXT" in " ".join(FORMAT.read_text().split())
    assert f"{file_budget.MAPPED_MODULE_BYTES:,} bytes for each entry of `modules`" in FORMAT.read_text()
