"""Check that running out of memory is reported in one line, and that other captures are still reported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from httpcapture import Reader, Record
from httpreport.cli import parallel
from httpreport.cli.main import main
from httpreport.outputs.output import Destination
from httpreport.outputs.registry import outputs_to
from httpreport.report.aggregate import Aggregate, Request, aggregate
from httpreport.report.sinks import Sink
from support.recordings import Row, capture

ASKED = [
    ["-o", "out"],
    ["--json"],
    ["--info"],
    ["--verify"],
    ["--redact", "red.cap"],
    ["--baseline", "fine.cap"],
    *([output.option, "x"] for output in outputs_to(Destination.FILE)),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return two captures; reading huge.cap exhausts the memory."""
    decode = Reader._decode

    def read(reader: Reader, content: bytes) -> Iterator[Record]:
        if "huge" in reader.name:
            raise MemoryError
        return decode(reader, content)  # type: ignore[return-value]

    monkeypatch.setattr(Reader, "_decode", read)
    monkeypatch.chdir(tmp_path)
    for name in ("fine.cap", "huge.cap"):
        (tmp_path / name).write_bytes(capture([Row()]))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("asked", ASKED, ids=[arguments[0] for arguments in ASKED])
def test_where_memory_runs_out_that_is_one_line(asked: list[str], folder: Path) -> None:
    before = {path.name for path in folder.iterdir()}

    result = run("huge.cap", *asked)

    assert re.fullmatch(r"httpreport: [^\n]*memory ran out: report fewer calls [^\n]*\n", result.stderr)
    assert result.exit_code == 1
    assert {path.name for path in folder.rglob("*")} - before <= {"out"}, "no file is left"


def lacking_memory(path: str, request: Request, sinks: Sequence[Sink]) -> Aggregate:
    """Aggregate a capture in a worker, where the fixture has no effect."""
    with pytest.MonkeyPatch.context() as patch:
        if "huge" in path:
            patch.setattr(Reader, "_decode", _lack)
        return aggregate(path, request, sinks)


def _lack(*_: object) -> None:
    raise MemoryError


@pytest.mark.parametrize("asked", [["-o", "out", "--json"], ["--csv", "x", "--json"]])
def test_a_capture_that_takes_too_much_is_named_and_the_others_are_reported(
    asked: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "aggregate", lacking_memory)

    result = run("huge.cap", "fine.cap", *asked, "--jobs", "1")

    assert re.search(r"left out: huge\.cap: memory ran out: ", result.stderr)
    document = json.loads(result.stdout)
    assert [one["file"] for one in document["unreadable"]] == ["huge.cap"]
    assert [one["capture"]["file"] for one in document["reports"]] == ["fine.cap"]
    assert result.exit_code == 0
