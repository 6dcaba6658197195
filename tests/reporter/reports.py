"""Reports for tests: a capture in memory, read and named by binaries that a test chooses (none, unless
told)."""

from __future__ import annotations

import io

from httpcapture import Module, Reader
from httpreport.binary import FindBinary
from httpreport.elf import Elf
from httpreport.recording import load
from httpreport.report import Report, make_report
from httpreport.selection import Selection
from httpreport.text import text
from httpreport.trace import Unnamed


def no_binary(module: Module, carried: Elf | None) -> Unnamed:
    return Unnamed.NOT_FOUND


def reported(data: bytes, *names: str, milliseconds: float | None = 0, find_binary: FindBinary = no_binary) -> Report:
    reader = Reader(io.BytesIO(data))
    selection = Selection.of(reader.meta, milliseconds, names)
    return make_report(load(reader, selection), selection, find_binary)


def text_lines(report: Report, capture: str) -> list[str]:
    """The lines of stack_traces.txt."""
    return "\n".join(text(report, capture)).split("\n")
