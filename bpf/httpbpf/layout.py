"""Read the layouts of the kernel's rows from rows.h and runtime_rows.h, which are the only descriptions of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .sources import read_source

_STRUCT = re.compile(r"^struct (\w+) \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^\tu(8|16|32|64) (\w+)(?:\[(\w+)\])?;(?:\s*/\* (\S+))?", re.MULTILINE)
_ENUM = re.compile(r"^enum (\w+) \{(.*?)\};", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


class RowField(NamedTuple):
    """Describe one field of a row: `type` is u8, u16, u32, u64 or bytesN, `offset` counts bytes, and `unit` is "ns",
    "bytes" or empty."""

    name: str
    type: str
    offset: int
    unit: str


class Row(NamedTuple):
    """Describe a struct of rows.h without its variable part: `size` bytes, with the padding of C."""

    size: int
    fields: Sequence[RowField]


def _row(body: str) -> Row:
    fields: list[RowField] = []
    offset, widest = 0, 1
    for bits, name, count, unit in _FIELD.findall(body):
        width = int(bits) // 8
        widest = max(widest, width)
        if count and not count.isdigit():
            break  # the variable part, which ends the row
        size = width * int(count or 1)
        kind = f"bytes{size}" if count else f"u{bits}"
        offset += -offset % width
        fields.append(RowField(name, kind, offset, unit if unit in ("ns", "bytes") else ""))
        offset += size
    return Row(offset + -offset % widest, tuple(fields))


def _enumerators(body: str) -> list[str]:
    names = _COMMENT.sub("", body).split(",")
    return [name.strip() for name in names if name.strip()]


_TEXT = read_source("rows.h") + read_source("runtime_rows.h")
ROWS: dict[str, Row] = {name: _row(body) for name, body in _STRUCT.findall(_TEXT)}
ENUMS: dict[str, list[str]] = {name: _enumerators(body) for name, body in _ENUM.findall(_TEXT)}

CALL_ROW = ROWS["call_row"]
COMPLETION_ROW = ROWS["completion_row"]
SHORT_ROW = ROWS["short_row"]
CONNECTION_ROW = ROWS["connection_row"]
STACK_ROW = ROWS["stack_row"]
PROCESS_ROW = ROWS["process_row"]
STREAMS_END_ROW = ROWS["streams_end_row"]
CONNECTION = ROWS["connection"]
RUNTIME = ROWS["runtime"]
PYTHON_LAYOUT = ROWS["python_layout"]
PHP_LAYOUT = ROWS["php_layout"]
WALKED_ROW = ROWS["walked_row"]
WALKED_FRAME = ROWS["walked_frame"]
FAST_CALLS = ROWS["fast_calls"]
HEAD_ROW = ROWS["head_row"]
BLOCK_ROW = ROWS["block_row"]
MAX_FRAMES = 127  # how many frames a kernel follows by default: /proc/sys/kernel/perf_event_max_stack
STACK_FRAMES_SIZE = STACK_ROW.size + 8 * MAX_FRAMES  # bytes of a stack row with room for all frames
MAX_WALKED_FRAMES = 128  # as in runtimes.h
WALKED_SCRATCH_SIZE = 568  # bytes behind the frames of a struct walked_stack, runtimes.h, except the runtime
WALKED_STACK_SIZE = WALKED_ROW.size + MAX_WALKED_FRAMES * WALKED_FRAME.size + RUNTIME.size + WALKED_SCRATCH_SIZE
RESPONSE_HEAD_BYTES = 256  # as in head_slots.h
HEAD_SLOT_BEGIN = 24  # bytes of a struct head_slot, head_slots.h, before its two heads
HEAD_SLOT_END = 8  # the same behind them


def head_room(http_bytes: int) -> int:
    """Return how many bytes a slot has for the head of a request."""
    return (http_bytes + 7) // 8 * 8


def head_slot_size(http_bytes: int) -> int:
    """Return how many bytes a struct head_slot has."""
    return HEAD_SLOT_BEGIN + 2 * HEAD_ROW.size + head_room(http_bytes) + RESPONSE_HEAD_BYTES + HEAD_SLOT_END


COUNTERS = tuple(name.lower() for name in ENUMS["counter"][:-1])
