"""Convert rows of the BPF program to and from dicts of their fields."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from httpbpf.layout import Row

_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q"}


class RowCodec:
    """Read and make rows of one layout (httpbpf.layout)."""

    def __init__(self, row: Row) -> None:
        self._names = [field.name for field in row.fields]
        self._empty: list[Any] = [0 if field.type in _CODES else b"" for field in row.fields]
        form, at = "<", 0
        for field in row.fields:
            code = _CODES.get(field.type) or f"{field.type[5:]}s"
            form += f"{field.offset - at}x{code}"
            at = field.offset + struct.calcsize(f"<{code}")
        self._struct = struct.Struct(f"{form}{row.size - at}x")

    def read(self, row: bytes | memoryview) -> dict[str, Any]:
        """Return the fields of one row by name."""
        return dict(zip(self._names, self._struct.unpack_from(row)))

    def unpack(self, row: bytes) -> tuple[Any, ...]:
        """Return the fields of one row in the order of the layout, which is faster."""
        return self._struct.unpack_from(row)

    def make(self, values: Mapping[str, Any]) -> bytes:
        """Return a row with these values. Fields without a value are 0, and values without a field are ignored."""
        return self._struct.pack(*(values.get(name, empty) for name, empty in zip(self._names, self._empty)))
