"""Read offsets of members, enumerators and prototypes from a kernel's type information, BTF (/sys/kernel/btf/vmlinux).

The format is a header, an array of type records of varying length, and a string table (kernel documentation, "BPF Type
Format"). One pass over the records notes where each starts. Members of anonymous structs and unions count as members of
the type that contains them, as in C.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

VMLINUX = "/sys/kernel/btf/vmlinux"

_MAGIC = 0xEB9F
_INT, _ARRAY, _STRUCT, _UNION, _ENUM = 1, 3, 4, 5, 6
_FUNC, _FUNC_PROTO, _VAR, _DATASEC, _DECL_TAG, _ENUM64 = 12, 13, 14, 15, 17, 19
# What follows the 12 bytes of a record: (fixed bytes, bytes for each of its `vlen` parts).
_TAIL = {
    _INT: (4, 0),
    _ARRAY: (12, 0),
    _STRUCT: (0, 12),
    _UNION: (0, 12),
    _ENUM: (0, 8),
    _FUNC_PROTO: (0, 8),
    _VAR: (4, 0),
    _DATASEC: (0, 12),
    _DECL_TAG: (4, 0),
    _ENUM64: (0, 12),
}
_RECORD = struct.Struct("<III")
_PAIR = struct.Struct("<II")


class BtfError(Exception):
    """Report that the kernel's type information is missing, damaged, or lacks something that the program needs."""


@contextlib.contextmanager
def _damage_as_btf_error() -> Iterator[None]:
    """Raise BtfError where type information points outside of itself, or in a circle."""
    try:
        yield
    except (IndexError, ValueError, struct.error, RecursionError) as error:
        raise BtfError(f"the type information is damaged: {error}") from error


class _Record(NamedTuple):
    kind: int
    parts: int
    bitfields: bool
    size_or_type: int
    tail: int  # position of the bytes after the record's first 12


class Btf:
    """Look up the type information of one kernel. Raises BtfError if `data` is not little-endian BTF of version 1."""

    def __init__(self, data: bytes) -> None:
        if len(data) < 24 or struct.unpack_from("<HB", data) != (_MAGIC, 1):
            raise BtfError("this is not little-endian BTF of version 1")
        header, types, types_size, strings, strings_size = struct.unpack_from("<IIIII", data, 4)
        self._data = data
        self._strings = header + strings
        self._strings_end = self._strings + strings_size
        self._starts = [0]  # by type number; 0 is void
        self._named: dict[int, list[int]] = {}  # starts by the name's place in the string table
        try:
            self._index(header + types, header + types + types_size)
        except struct.error as error:
            raise BtfError(f"the type information ends in the middle of a type: {error}") from error

    def _index(self, position: int, end: int) -> None:
        unpack, data, starts, named = _RECORD.unpack_from, self._data, self._starts, self._named
        while position < end:
            name, info, _ = unpack(data, position)
            starts.append(position)
            if name:
                named.setdefault(name, []).append(position)
            fixed, each = _TAIL.get(info >> 24 & 0x1F, (0, 0))
            position += 12 + fixed + each * (info & 0xFFFF)

    def _record(self, start: int) -> _Record:
        _, info, size_or_type = _RECORD.unpack_from(self._data, start)
        return _Record(info >> 24 & 0x1F, info & 0xFFFF, bool(info >> 31), size_or_type, start + 12)

    def _name(self, offset: int) -> str:
        start = self._strings + offset
        return self._data[start : self._data.index(b"\0", start)].decode()

    def _find(self, name: str, kinds: Sequence[int]) -> Iterator[_Record]:
        """Yield the records with this name and one of these kinds; a kernel can have several."""
        position = self._data.find(b"\0" + name.encode() + b"\0", self._strings - 1, self._strings_end)
        if position < 0:
            return
        for start in self._named.get(position + 1 - self._strings, ()):
            record = self._record(start)
            if record.kind in kinds:
                yield record

    def members(self, struct_name: str) -> dict[str, int]:
        """Return the offsets in bytes of all members of a struct, by name; none if the kernel has no such struct."""
        with _damage_as_btf_error():
            for record in self._find(struct_name, (_STRUCT, _UNION)):
                return dict(self._members(record, 0))
        return {}

    def _members(self, record: _Record, base: int) -> Iterator[tuple[str, int]]:
        for part in range(record.parts):
            name, kind, offset = _RECORD.unpack_from(self._data, record.tail + 12 * part)
            if record.bitfields:
                offset &= 0xFFFFFF
            position = base + offset // 8
            if name:
                yield self._name(name), position
                continue
            inner = self._record(self._starts[kind])
            if inner.kind in (_STRUCT, _UNION):
                yield from self._members(inner, position)

    def enumerators(self, enum_name: str) -> dict[str, int]:
        """Return the values of an enum by name; none if the kernel has no such enum."""
        with _damage_as_btf_error():
            for record in self._find(enum_name, (_ENUM,)):
                pairs = (_PAIR.unpack_from(self._data, record.tail + 8 * part) for part in range(record.parts))
                return {self._name(name): value for name, value in pairs}
        return {}

    def parameters(self, function: str) -> list[str]:
        """Return the names of a function's parameters, in order. The dots of a variadic function are "", as in BTF.

        Raises BtfError if the kernel has no such function.
        """
        with _damage_as_btf_error():
            for record in self._find(function, (_FUNC,)):
                prototype = self._record(self._starts[record.size_or_type])
                parts = (_PAIR.unpack_from(self._data, prototype.tail + 8 * part) for part in range(prototype.parts))
                return [self._name(name) for name, _ in parts]
        raise BtfError(f"this kernel has no function {function} that can be probed")

    def function_id(self, function: str) -> int:
        """Return the number of a function among all types, by which a program is attached to it. Raises BtfError if the
        kernel has no such function."""
        for record in self._find(function, (_FUNC,)):
            return self._starts.index(record.tail - _RECORD.size)
        raise BtfError(f"this kernel has no function {function} that can be probed")

    def has_function(self, function: str) -> bool:
        """Return whether the kernel has a function of this name that can be probed."""
        return any(True for _ in self._find(function, (_FUNC,)))


def first_offset(members: dict[str, int], names: Iterable[str]) -> int:
    """Return the offset (or value) of the first of `names` in `members`: names that it had over time. Raises BtfError
    if it has none of them."""
    wanted = list(names)
    for name in wanted:
        if name in members:
            return members[name]
    raise BtfError(f"this kernel has no member {' or '.join(wanted)}")


def load_btf(path: str = VMLINUX) -> Btf:
    """Read the running kernel's type information. Raises BtfError if it has none."""
    try:
        with open(path, "rb") as file:
            return Btf(file.read())
    except OSError as error:
        raise BtfError(f"cannot read {path}: {error.strerror}; the kernel needs CONFIG_DEBUG_INFO_BTF=y") from error
