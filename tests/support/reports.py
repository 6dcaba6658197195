"""Make reports for tests from a capture in memory, with binaries that a test chooses (by default none), and load the
schema of JSON reports."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator

from httpcapture import Module, Reader
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from httpreport.elf.elf import Elf
from httpreport.languages.stack_trace import Unnamed
from httpreport.outputs.output import OneCapture, Output, Reported, Spooled
from httpreport.outputs.registry import OUTPUTS, STACK_TRACES
from httpreport.report.aggregate import Aggregate, aggregate_of
from httpreport.report.folding import folded
from httpreport.report.report import Report, make_report
from httpreport.symbols.binary import FindBinary

SCHEMA: dict[str, Any] = json.loads((resources.files("httpreport.outputs") / "report.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)


def no_binary(module: Module, carried: Elf | None) -> Unnamed:
    return Unnamed.NOT_FOUND


def reported(
    data: bytes,
    *names: str,
    milliseconds: float | None = 0,
    find_binary: FindBinary = no_binary,
    first_byte: bool = False,
    by_route: bool = False,
) -> Report:
    reader = Reader(io.BytesIO(data))
    selection = Selection.of(reader.meta, milliseconds, names, first_byte=first_byte, by_route=by_route)
    return make_report(load(reader, selection), selection, find_binary)


def aggregated(report: Report, capture: str = "run.cap") -> Aggregate:
    """Return the aggregate of a capture, with the slowest calls and the evidence for an answer."""
    return aggregate_of(report, capture, slowest=True, answer=True)


def folded_lines(report: Report) -> list[str]:
    """Return the lines of stacks.folded."""
    return list(folded(aggregated(report).samples))


def text_lines(report: Report, capture: str) -> list[str]:
    """Return the lines of stack_traces.txt."""
    return written(STACK_TRACES, report, capture).decode().splitlines()


def json_text(report: Report, capture: str) -> str:
    """Return the document of --json."""
    return written(named("json"), report, capture).decode()


def written(output: Output, report: Report, capture: str = "run.cap") -> bytes:
    """Return an output for one capture."""
    assert output.report is not None
    listing = OneCapture(output.lists, report, capture) if output.lists is not None else Spooled(())
    return b"".join(output.report(Reported(aggregated(report, capture), listing)))


def named(name: str) -> Output:
    (output,) = (output for output in OUTPUTS if output.name == name)
    return output


def weights(lines: Iterable[str]) -> Counter[str]:
    """Return the weight of each stack in the lines of stacks.folded."""
    return Counter({stack: int(weight) for stack, _, weight in (line.rpartition(" ") for line in lines)})
