"""Redact captures for tests, and list what the redacted capture's report must have in common with the original's."""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace

from httpcapture import Reader
from httpreport.capture.loader import KeepNothing, load
from httpreport.languages.stack_trace import Frame, StackTrace, Unnamed
from httpreport.redact import Redaction, causes_in
from httpreport.report.report import Report
from httpreport.symbols.binary import FindBinary

FOLDERS = re.compile(r"/[^:]*/")  # in the names of PHP's closures
IN_NO_MAPPING = (Unnamed.UNMAPPED, Unnamed.NO_MAPS, Unnamed.STACK_NOT_IN_MAPS)


def redacted(data: bytes, find_binary: FindBinary) -> bytes:
    """Return the capture that --redact makes from a capture."""
    causes = causes_in(Reader(io.BytesIO(data)), find_binary)
    redaction = Redaction(load(Reader(io.BytesIO(data)), KeepNothing()), find_binary, causes)
    return b"".join(redaction.pieces(Reader(io.BytesIO(data))))


def traces(report: Report) -> list[StackTrace]:
    """Return the stack traces of the listed calls, the longest first, as far as redaction keeps them."""
    return [_bare(report.traces[place]) for _, place, _ in report.calls()]


def _bare(trace: StackTrace) -> StackTrace:
    return replace(trace, frames=tuple(map(_bare_frame, trace.frames)))


def _bare_frame(frame: Frame) -> Frame:
    """Return a frame without its folders, and without its address if that is in no mapping."""
    module = None if frame.module is None else os.path.basename(frame.module)
    file = os.path.basename(frame.file) if frame.file is not None and frame.kind.language else frame.file
    name = FOLDERS.sub("", frame.name or "") if frame.kind.language else frame.name
    address = 0 if frame.unnamed in IN_NO_MAPPING else frame.address
    return frame._replace(name=name, module=module, file=file, address=address)
