"""The capture file: what the recorder writes and the reporter reads. FORMAT.md, beside this package,
specifies it.
"""

from __future__ import annotations

from .chunks import MAX_FRAMES, MAX_MAPS, MAX_MODULES, MAX_NAMES, MAX_PATH, MAX_TEXT
from .errors import CaptureError, CorruptRecord, NotACapture, UnsupportedVersion
from .reader import Reader, open_capture
from .records import (
    Calls,
    Completions,
    End,
    Field,
    Layout,
    Lost,
    MappedModule,
    Meta,
    Module,
    Outcome,
    Process,
    Record,
    Role,
    RoleSource,
    Stack,
    StackStatus,
)
from .writer import RING_HEADER, Writer

__all__ = [
    "MAX_FRAMES",
    "MAX_MAPS",
    "MAX_MODULES",
    "MAX_NAMES",
    "MAX_PATH",
    "MAX_TEXT",
    "RING_HEADER",
    "Calls",
    "CaptureError",
    "Completions",
    "CorruptRecord",
    "End",
    "Field",
    "Layout",
    "Lost",
    "MappedModule",
    "Meta",
    "Module",
    "NotACapture",
    "Outcome",
    "Process",
    "Reader",
    "Record",
    "Role",
    "RoleSource",
    "Stack",
    "StackStatus",
    "UnsupportedVersion",
    "Writer",
    "open_capture",
]
