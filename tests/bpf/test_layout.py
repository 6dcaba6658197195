"""Check that rows.h and runtime_rows.h mean the same to layout.py as to a C compiler, and that its numbers are those of
the capture format."""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import Any

import pytest

from httpbpf import layout
from httpcapture import COUNT_NOT_KNOWN, Outcome, Role, RoleSource, StackStatus, WalkStatus
from support.type_information import TYPES, btf_of, dump

HEADERS = [Path(layout.__file__).with_name(name) for name in ("rows.h", "runtime_rows.h")]
Types = list[dict[str, Any]]


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Types:
    folder = tmp_path_factory.mktemp("rows")
    includes = "".join(f'#include "{path}"\n' for path in HEADERS)
    source = f"{TYPES}\n#define MAX_FRAMES {layout.MAX_FRAMES}\n{includes}"
    uses = [f"struct {name} use_{name};" for name in layout.ROWS] + [
        f"enum {name} use_{name};" for name in layout.ENUMS
    ]
    path = folder / "rows.btf"
    path.write_bytes(btf_of(folder, source + "\n".join(uses)))
    return dump(path)


def declared(types: Types, kind: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in types if each["kind"] == kind and each["name"] != "(anon)"}


def width_and_count(types: Types, number: int) -> tuple[int, int | None]:
    """Return the size of an element in bytes and the number of elements, or None if it is no array."""
    kind = types[number]
    if kind["kind"] == "TYPEDEF":
        return width_and_count(types, kind["type_id"])
    if kind["kind"] == "ARRAY":
        return width_and_count(types, kind["type_id"])[0], kind["nr_elems"]
    assert kind["kind"] == "INT"
    return kind["size"], None


def test_every_struct_and_enum_of_rows_h_is_read(types: Types) -> None:
    assert set(layout.ROWS) == set(declared(types, "STRUCT"))
    assert set(layout.ENUMS) == set(declared(types, "ENUM"))
    assert {"call_row", "completion_row", "stack_row", "process_row", "connection", "fast_calls"} <= set(layout.ROWS)


@pytest.mark.parametrize("name", sorted(layout.ROWS))
def test_fields_are_where_the_compiler_puts_them(types: Types, name: str) -> None:
    struct, expected = declared(types, "STRUCT")[name], []
    size = struct["size"]
    for member in struct["members"]:
        width, count = width_and_count(types, member["type_id"])
        if member["name"] == "frames":
            assert (width, count) == (8, layout.MAX_FRAMES)
            size = member["bits_offset"] // 8  # as many as there are follow the row
            break
        kind = f"u{8 * width}" if count is None else f"bytes{width * count}"
        expected.append((member["name"], kind, member["bits_offset"] // 8))
    assert [field[:3] for field in layout.ROWS[name].fields] == expected
    assert layout.ROWS[name].size == size


def test_rows_in_rings_need_no_padding() -> None:
    """The kernel pads records to 8 bytes; Ring.rows relies on rows that need no padding."""
    assert not layout.CALL_ROW.size % 8 and not layout.COMPLETION_ROW.size % 8


def test_units_are_the_first_word_of_the_comment() -> None:
    units = {field.name: field.unit for field in layout.CALL_ROW.fields}
    assert units["t0"] == units["t2"] == units["process_start"] == "ns"
    assert units["sent"] == units["received"] == "bytes"
    assert units["pid"] == units["comm"] == units["local_port"] == ""


@pytest.mark.parametrize("name", sorted(layout.ENUMS))
def test_enumerators_are_numbered_as_the_compiler_does(types: Types, name: str) -> None:
    values = {value["name"]: value["val"] for value in declared(types, "ENUM")[name]["values"]}
    assert {enumerator: number for number, enumerator in enumerate(layout.ENUMS[name])} == values


@pytest.mark.parametrize(
    ("name", "prefix", "meaning"),
    [
        ("role", "ROLE_", Role),
        ("role_source", "ROLE_FROM_", RoleSource),
        ("outcome", "OUTCOME_", Outcome),
        ("stack_status", "STACK_", StackStatus),
        ("walk_status", "FRAMES_", WalkStatus),
    ],
)
def test_numbers_in_rows_mean_what_the_capture_says(
    types: Types, name: str, prefix: str, meaning: type[enum.IntEnum]
) -> None:
    values = {value["name"]: value["val"] for value in declared(types, "ENUM")[name]["values"]}
    assert values == {prefix + member.name: int(member) for member in meaning}


def test_a_count_that_is_not_known_is_the_same_number_in_the_capture() -> None:
    (number,) = re.findall(r"#define NOT_KNOWN (\S+)", HEADERS[0].read_text())
    assert int(number, 16) == COUNT_NOT_KNOWN


def test_counters_leave_out_their_own_number(types: Types) -> None:
    values = declared(types, "ENUM")["counter"]["values"]
    assert values[-1] == {"name": "COUNTERS", "val": len(layout.COUNTERS)}
    assert [value["name"].lower() for value in values[:-1]] == list(layout.COUNTERS)
