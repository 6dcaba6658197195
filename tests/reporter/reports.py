"""Reports for tests: a capture in memory, read and named by binaries that a test chooses (none, unless
told); and the schema of reports as JSON."""

from __future__ import annotations

import io
import json
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator

from httpcapture import Module, Reader
from httpreport.binary import FindBinary
from httpreport.digest import Digest, digest_of
from httpreport.elf import Elf
from httpreport.fold import folded
from httpreport.recording import load
from httpreport.report import Report, make_report
from httpreport.selection import Selection
from httpreport.text import text
from httpreport.trace import Unnamed

SCHEMA: dict[str, Any] = json.loads((resources.files("httpreport") / "report.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)


def no_binary(module: Module, carried: Elf | None) -> Unnamed:
    return Unnamed.NOT_FOUND


def reported(data: bytes, *names: str, milliseconds: float | None = 0, find_binary: FindBinary = no_binary) -> Report:
    reader = Reader(io.BytesIO(data))
    selection = Selection.of(reader.meta, milliseconds, names)
    return make_report(load(reader, selection), selection, find_binary)


def digested(report: Report, capture: str = "run.cap") -> Digest:
    """With the slowest calls."""
    return digest_of(report, capture, slowest=True)


def folded_lines(report: Report) -> list[str]:
    """The lines of stacks.folded."""
    return list(folded(digested(report).samples))


def text_lines(report: Report, capture: str) -> list[str]:
    """The lines of stack_traces.txt."""
    return "\n".join(text(report, capture)).split("\n")
