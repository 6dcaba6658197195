"""Check that the worked example in FORMAT.md is what the writer writes and what the reader and httpreport read."""

from __future__ import annotations

import ast
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from httpcapture import Calls, Completions, Reader
from httpreport.cli.main import main
from support.specification import FORMAT
from support.worked_example import example_capture, example_records, hex_dump, parse_dump

EXAMPLE = re.compile(r"(<!-- worked example -->\n```\n)(.*?)(```\n<!-- end of worked example -->)", re.DOTALL)
ROLES = {1: "client", 2: "server"}
OUTCOMES = {0: "answered", 1: "eof"}
PAYLOADS = {(77, 1): ("GET", 200), (77, 2): ("GET", 503), (78, 1): ("POST", None)}  # method and status by call


def documented_example() -> str:
    found = EXAMPLE.search(FORMAT.read_text())
    assert found
    return found[2].rstrip("\n")


def annotated(kind: str) -> dict[str, list[Any]]:
    """Return the columns of the example's CALLS or COMPLETIONS from the notes of the dump, one value per row."""
    chunk = re.search(rf"^.{{55}}{kind}: .*?checksum$", documented_example(), re.MULTILINE | re.DOTALL)
    assert chunk
    notes = "\n".join(line[55:] for line in chunk[0].splitlines())
    notes = re.sub(r", packed:\n.*\n.* times: ", ", ", notes)
    sizes: list[int] = []
    columns: dict[str, list[Any]] = {}
    for names, coding, text in re.findall(r"^  (.*?), (?:u|bytes)\d+ ?(\w*): (\[.*\])$", notes, re.MULTILINE):
        values = ast.literal_eval(text)
        if coding == "group":
            values = [value for value, size in zip(values, sizes) for _ in range(size)]
        each = names.split(", ")
        columns.update({name: values[place :: len(each)] for place, name in enumerate(each)})
        sizes = sizes or values
    return columns


def rows(kind: str) -> Iterator[dict[str, Any]]:
    columns = annotated(kind)
    names = [name for name in columns if not name.startswith("rows of")]
    yield from (dict(zip(names, values)) for values in zip(*(columns[name] for name in names)))


@pytest.fixture
def example(tmp_path: Path) -> Path:
    path = tmp_path / "example.cap"
    path.write_bytes(parse_dump(documented_example()))
    return path


def test_the_example_is_what_the_writer_writes() -> None:
    dump = hex_dump(example_capture())
    if os.environ.get("BLESS"):
        text = FORMAT.read_text()
        FORMAT.write_text(EXAMPLE.sub(lambda found: found[1] + dump + "\n" + found[3], text))
    assert documented_example() == dump
    assert parse_dump(documented_example()) == example_capture()


def test_the_example_is_what_the_reader_reads() -> None:
    reader = Reader(io.BytesIO(parse_dump(documented_example())))
    records = list(reader)
    calls, completions = records[10:12]
    assert records[:10] + records[12:] == example_records()
    assert reader.cut_off is None
    assert isinstance(calls, Calls) and isinstance(completions, Completions)
    for batch, kind in ((calls, "CALLS"), (completions, "COMPLETIONS")):
        wanted = list(rows(kind))
        assert set(batch.columns) == wanted[0].keys()
        for name, values in batch.columns.items():
            size = len(values) // len(wanted)
            found = [bytes(values[at : at + size]) for at in range(0, len(values), size)]
            assert found == [as_bytes(row[name], size) for row in wanted], name


def as_bytes(value: int | bytes | str, size: int) -> bytes:
    if isinstance(value, str):
        return bytes(10) + b"\xff\xff" + bytes(map(int, value.split(".")))
    return value.to_bytes(size, "little") if isinstance(value, int) else value.ljust(size, b"\0")


def test_the_example_shows_a_packed_column_groups_of_bytes_and_a_completion() -> None:
    assert re.search(r"^.{55}  receive_stack, packed:$", documented_example(), re.MULTILINE)
    assert re.search(r"^.{55}  local_address, bytes16 group: ", documented_example(), re.MULTILINE)
    (completion,) = rows("COMPLETIONS")
    keys = [(row["connection"], row["sequence"]) for row in rows("CALLS")]
    assert keys == [(77, 1), (77, 2), (78, 1)]
    assert (completion["connection"], completion["sequence"]) == keys[0]


def test_httpreport_finds_the_example_whole(example: Path) -> None:
    result = CliRunner().invoke(main, [str(example), "--verify"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{example}: whole: ")
    assert result.stdout.endswith(" 2 heads, 3 calls, 1 completions, 2 calls with heads\n")


def test_httpreport_reads_the_annotated_values(example: Path) -> None:
    result = CliRunner().invoke(main, [str(example), "--json", "--strict"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["warnings"] == [] and document["ledger"]["complete"]
    ends = {(row["connection"], row["sequence"]): row for row in rows("COMPLETIONS")}
    wanted = {}
    for row in rows("CALLS"):
        key = row["connection"], row["sequence"]
        method, status = PAYLOADS[key]
        ends_of = [{"address": row[f"{side}_address"], "port": row[f"{side}_port"]} for side in ("local", "peer")]
        end = ends.get(key, row)
        wanted[key] = {
            **{name: row[name] for name in ("pid", "tid", "receive_tid", "cgroup", "connection", "sequence")},
            **{name: row[name].decode() for name in ("comm", "process")},
            "role": ROLES[row["role"]],
            "outcome": OUTCOMES[row["outcome"]],
            "kind": "http",
            "method": method,
            "status": status,
            **dict(zip(("source", "destination"), ends_of if row["role"] == 1 else reversed(ends_of))),
            "t0_ns": row["t0"],
            "duration_ns": end["t3"] - row["t0"],
            "duration_at_least": False,
            "judged_by": "whole",
            "first_byte_ns": None if row["outcome"] else row["t2"] - row["t0"],
            "first_byte_is_guess": False,
            "stack_is_late": bool(row["stack_is_late"]),
            "encrypted": False,
            "request_ns": row["t1"] - row["t0"],
            "wait_ns": row["t2"] - row["t1"],
            "response_ns": None if row["outcome"] else end["t3"] - row["t2"],
            "response_end_known": True,
            "sent": end["sent"],
            "received": end["received"],
            "network": {
                "connect_ns": row["connect_time"] or None,
                "handshake_ns": row["handshake_time"] or None,
                "round_trip_ns": 1000 * row["round_trip"],
                **{name: row[name] for name in ("segments", "retransmitted", "out_of_order")},
            },
        }
    found = {(call["connection"], call["sequence"]): call for call in document["calls"]}
    assert found.keys() == wanted.keys()
    for key, call in found.items():
        assert {name: call[name] for name in wanted[key]} == wanted[key]


def test_httpreport_unwinds_the_stack_of_the_example(example: Path) -> None:
    document = json.loads(CliRunner().invoke(main, [str(example), "--json"]).stdout)
    traces = {call["connection"]: document["stacks"][call["trace"]] for call in document["calls"]}
    assert [frame["address"] for frame in traces[77]["frames"]] == [0x401234, 0x402345]
    assert [frame["module"] for frame in traces[77]["frames"]] == ["/bin/nova"] * 2
    assert traces[77]["python_problem"] == "contradiction"  # no native frame is one of the interpreter's loop
    assert traces[78] == {**traces[77], "frames": [], "missing": "not_taken", "python_problem": None}
