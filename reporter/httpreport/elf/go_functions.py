"""Name the functions of Go programs by .gopclntab, which also stripped ones have, since Go's own tracebacks need it.

It has the name of each function, and the file and line of each instruction. Which calls were inlined at an instruction
is in a tree beside it, whose address is in the program's module data. Without that, a function that has inlined calls
at an address has no line there, because it would be the line of the inlined one.

The bytes are untrusted input: every offset is checked, and the work is bounded. Addresses are the file's own, without
load bias.

Formats: pcHeader, moduledata, _func and inlinedCall in src/runtime/symtab.go, symtabinl.go and runtime2.go of Go 1.16
to 1.26; the tables of values by pc: "Go 1.2 Runtime Symbol Table Information", golang.org/s/go12symtab.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from httpcapture import GO_FUNCTION_TABLES, GO_MODULE_DATA

from .elf import Elf, Section

MAX_NAME_BYTES = 8192
MAX_INLINED = 256  # calls that are inlined into each other
FIRST_WORK, WORK_AN_ADDRESS = 1 << 22, 1 << 12  # steps in tables by pc: an allowance, and what each address adds to it

MAX_FRAME_BYTES = 1 << 30
OUTERMOST = -1
MAX_REFERENCES = 64  # words of the data that may be the beginning of module data

_POINTER = 8
_START = struct.Struct("<IBBBB")  # magic, two zeros, the least size of an instruction, size of a pointer
_WORD, _U32 = struct.Struct("<Q"), struct.Struct("<I")
_NONE = 0xFFFFFFFF
_IS_OUTERMOST, _SETS_STACK_POINTER = 1, 2  # abi.FuncFlag: TopFrame, SPWrite; from Go 1.17 on
_INLINED_AT, _INLINED_TREE = 2, 3  # PCDATA_InlTreeIndex, FUNCDATA_InlTree
_MODULE_DATA_WORDS = 41
_MODULE_TEXT = 22  # index of the word `text` in moduledata
_CHECKED = 5  # tables whose addresses follow in moduledata: function names, units, files, values by pc, functions


class _Version(NamedTuple):
    """Describe what differs between versions."""

    has_text: bool  # addresses of functions count from the start of the text, in 32 bits
    function: struct.Struct  # entry, name, tables by pc of stack, file and line, their number, unit, flags, other data
    inlined_call: struct.Struct  # name, and an instruction of the call, from the function's start
    tree_base: int  # index of the word of moduledata from which addresses of other data count; 0: they are pointers


_V16 = _Version(False, struct.Struct("<QI8xIIIIIxBxB"), struct.Struct("<12xIi"), 0)
_V18 = _Version(True, struct.Struct("<II8xIIIIIxBxB"), struct.Struct("<12xIi"), 38)
_V20 = _Version(True, struct.Struct("<II8xIIIII5xBxB"), struct.Struct("<4xIi4x"), 40)
_VERSIONS = {0xFFFFFFFA: _V16, 0xFFFFFFF0: _V18, 0xFFFFFFF1: _V20}


class GoCall(NamedTuple):
    """Describe a function and its current line. `file` is None and `line` is 0 if they are not known."""

    function: str
    file: str | None
    line: int


class GoFunction(NamedTuple):
    """Locate a function."""

    entry: int
    at: int  # where its _func begins in the table
    name: int
    stack: int  # where the tables of values by pc begin: of the size of the frame, of files and of lines
    files: int
    lines: int
    values: int  # number of further tables
    unit: int
    flags: int
    other: int  # number of other data


class _BadTableError(ValueError):
    """Report that the table breaks its format."""


_DAMAGED = (ValueError, OverflowError, struct.error)


@dataclass
class GoFunctions:
    """Look up addresses in the function table of one Go program."""

    _table: Section
    _version: _Version
    _offsets: tuple[int, ...]  # of names, units, files, values by pc, functions
    _entries: NDArray[np.unsignedinteger]  # where functions begin, and where the last one ends
    _functions: NDArray[np.unsignedinteger]  # offsets of their _func
    _text: int  # what entries count from
    _trees: int | None  # what addresses of trees of inlined calls count from
    _sections: Sequence[Section]
    used: set[range]
    """Addresses of the module data and of the inlined calls that have been looked up."""
    _work: int = FIRST_WORK

    @property
    def address(self) -> int:
        """Return the address of the function table."""
        return self._table.address

    @property
    def file_names(self) -> range:
        """Return where in the function table the paths of source files are."""
        return range(self._offsets[2], max(self._offsets[2], self._offsets[3]))

    @classmethod
    def of(cls, elf: Elf) -> GoFunctions | None:
        """Return the functions of a program, None if it has no function table of a known version."""
        table = next(filter(None, map(elf.section, GO_FUNCTION_TABLES)), None)
        try:
            return cls._read(elf, table) if table else None
        except _DAMAGED:
            return None

    @classmethod
    def _read(cls, elf: Elf, table: Section) -> GoFunctions | None:
        data = table.data
        magic, *zeros, quantum, pointer = _START.unpack_from(data)
        version = _VERSIONS.get(magic)
        if version is None or zeros != [0, 0] or pointer != _POINTER or quantum != 1:
            return None
        count, _, *rest = struct.unpack_from(f"<{8 if version.has_text else 7}Q", data, _START.size)
        text = rest.pop(0) if version.has_text else 0
        module = _module_data(elf, table.address, rest)
        if version.has_text and not text:
            if module is None:
                return None
            text = module.words[_MODULE_TEXT]
        kind = np.dtype("<u4" if version.has_text else "<u8")
        if count >= len(data) or max(rest) >= len(data):
            raise _BadTableError
        pairs = np.frombuffer(data, kind, 2 * count + 1, rest[-1])
        trees: int | None = 0
        if version.tree_base:
            trees = module.words[version.tree_base] or None if module else None
        sections = list(elf.sections.values())
        used = {range(module.address, module.address + _MODULE_DATA_WORDS * _POINTER)} if module else set()
        return cls(table, version, tuple(rest), pairs[::2], pairs[1::2], text, trees, sections, used)

    def at(self, address: int) -> tuple[int, Sequence[GoCall]]:
        """Return the start of the function around an address, and the calls there: innermost first, all but the last
        inlined. There are none if no function is there."""
        try:
            function = self._function(address)
            return (function.entry, list(self._calls(function, address))) if function else (0, ())
        except _DAMAGED:
            return 0, ()

    def frame_size(self, address: int) -> int | None:
        """Return how far the stack pointer is below the return address at an instruction, None if it is not known.

        A function that sets the stack pointer to another stack has no such size. The outermost function of a goroutine
        or thread has OUTERMOST.
        """
        self._work += WORK_AN_ADDRESS
        try:
            function = self._function(address)
            if function is None or function.flags & _SETS_STACK_POINTER:
                return None
            if function.flags & _IS_OUTERMOST:
                return OUTERMOST
            size = self._value(function.stack, function.entry, address)
        except _DAMAGED:
            return None
        return size if size is not None and 0 <= size < MAX_FRAME_BYTES and size % _POINTER == 0 else None

    def _function(self, address: int) -> GoFunction | None:
        offset = address - self._text
        if offset < 0 or offset >> 8 * self._entries.itemsize:
            return None
        index = int(np.searchsorted(self._entries, self._entries.dtype.type(offset), "right")) - 1
        if not 0 <= index < len(self._functions):
            return None
        at = self._offsets[-1] + int(self._functions[index])
        entry, *fields = self._version.function.unpack_from(self._table.data, at)
        if entry != self._entries[index]:
            raise _BadTableError
        return GoFunction(self._text + entry, at, *fields)

    def _calls(self, function: GoFunction, address: int) -> Iterator[GoCall]:
        """Yield the calls at an address. Each inlined one was called at the instruction that its entry names."""
        self._work += WORK_AN_ADDRESS
        tree = self._tree(function)
        for _ in range(MAX_INLINED):
            index = self._inlined_at(function, address)
            if index is None:
                yield GoCall(self._name(function.name), *self._line(function, address))
                return
            call = self._read_address(tree + index * self._version.inlined_call.size) if tree is not None else None
            if call is None:
                yield GoCall(self._name(function.name), None, 0)
                return
            name, instruction = self._version.inlined_call.unpack_from(*call)
            yield GoCall(self._name(name), *self._line(function, address))
            address = function.entry + instruction
        raise _BadTableError

    def _name(self, offset: int) -> str:
        """Return a name as Go prints it: with [...] for type arguments (funcNameForPrint in symtab.go)."""
        name = self._text_at(self._offsets[0] + offset)
        start, end = name.find("["), name.rfind("]")
        return f"{name[:start]}[...]{name[end + 1 :]}" if 0 <= start < end else name

    def _line(self, function: GoFunction, address: int) -> tuple[str | None, int]:
        """Return file and line of an instruction."""
        number, line = (self._value(table, function.entry, address) for table in (function.files, function.lines))
        if number is None or line is None or number < 0 or line <= 0:
            return None, 0
        (file,) = _U32.unpack_from(self._table.data, self._offsets[1] + 4 * (function.unit + number))
        return (None, 0) if file == _NONE else (self._text_at(self._offsets[2] + file), line)

    def _inlined_at(self, function: GoFunction, address: int) -> int | None:
        """Return the index of the innermost inlined call at an instruction in the tree, None if there is none."""
        if function.values <= _INLINED_AT:
            return None
        end = function.at + self._version.function.size
        (table,) = _U32.unpack_from(self._table.data, end + 4 * _INLINED_AT)
        index = self._value(table, function.entry, address) if table else None
        return index if index is not None and index >= 0 else None

    def _tree(self, function: GoFunction) -> int | None:
        """Return the address of the tree of a function's inlined calls, None if it is not known."""
        if function.other <= _INLINED_TREE or self._trees is None:
            return None
        at = function.at + self._version.function.size + 4 * function.values
        if self._version.tree_base:
            (offset,) = _U32.unpack_from(self._table.data, at + 4 * _INLINED_TREE)
            return None if offset == _NONE else self._trees + int(offset)
        at += -(self._table.address + at) % _POINTER
        pointer: int = _WORD.unpack_from(self._table.data, at + _POINTER * _INLINED_TREE)[0]
        return pointer or None

    def _read_address(self, address: int) -> tuple[bytes, int] | None:
        """Return the bytes in which an inlined call at an address is, and its offset there; None without them."""
        size = self._version.inlined_call.size
        for section in self._sections:
            offset = address - section.address
            if section.address and 0 <= offset <= len(section.data) - size:
                self.used.add(range(address, address + size))
                return section.data, offset
        return None

    def _value(self, table: int, entry: int, address: int) -> int | None:
        """Return the value of a table by pc at an address: differences of values and of pcs follow each other."""
        data, at, pc, value = self._table.data, self._offsets[3] + table, entry, -1
        while True:
            self._work -= 1
            if self._work < 0:
                return None
            difference, at = _varint(data, at)
            if not difference and pc != entry:
                return None
            value += difference >> 1 if not difference & 1 else ~(difference >> 1)
            advance, at = _varint(data, at)
            pc += advance
            if address < pc:
                return value

    def _text_at(self, at: int) -> str:
        end = self._table.data.find(b"\0", at, at + MAX_NAME_BYTES)
        if end < 0:
            raise _BadTableError
        return self._table.data[at:end].decode("utf-8", "backslashreplace")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return an unsigned LEB128 number of up to 32 bits, and the offset after it."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(data):
            raise _BadTableError
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFF, at
    raise _BadTableError


class _ModuleData(NamedTuple):
    address: int
    words: Sequence[int]


def _module_data(elf: Elf, table: int, offsets: Sequence[int]) -> _ModuleData | None:
    """Return the words of the program's module data: it begins with the address of the function table, which the
    addresses of its parts follow, each with its length and capacity."""
    first = _WORD.pack(table)
    for section in filter(None, map(elf.section, GO_MODULE_DATA)):
        at = section.data.find(first)
        for _ in range(MAX_REFERENCES):
            if at < 0:
                break
            if at % _POINTER == 0 and at + _MODULE_DATA_WORDS * _POINTER <= len(section.data):
                words = struct.unpack_from(f"<{_MODULE_DATA_WORDS}Q", section.data, at)
                if words[1 : 1 + 3 * _CHECKED : 3] == tuple(table + offset for offset in offsets):
                    return _ModuleData(section.address + at, words)
            at = section.data.find(first, at + 1)
    return None
