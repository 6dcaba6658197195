"""Read ELF files. They are untrusted input: everything is bounded before it is used.

`read_elf` takes a whole file, `from_parts` the recorded parts of one. Both return an `Elf`, which symbol tables and the
unwinder use. It has copies of the few sections that they need, so that the file can be closed. A fault of the file
raises BadElf; a single section that cannot be read is a line in `Elf.problems`.

Format: System V gABI, chapters 4 and 5 (little-endian, 64 bit); notes: gABI "Note Section"; PN_XNUM and
SHN_XINDEX: gABI "Extended numbering".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Union

from httpcapture import carried
from httpcapture.elf_notes import build_ids

Buffer = Union[bytes, memoryview]

MAX_PROGRAM_HEADERS = 256
MAX_SECTIONS = 16384
MAX_SECTION_NAME = 64  # bytes
MAX_NOTE_AREAS = 32
MAX_NOTE_AREA_BYTES = 1 << 16

_TOP = 1 << 64
_PAGE = 4096
_EXECUTABLE, _SHARED_OBJECT = 2, 3
_PT_LOAD, _PT_NOTE, _PT_GNU_EH_FRAME, _PF_X = 1, 4, 0x6474E550, 1
_SHT_NULL, _SHT_NOTE, _SHT_NOBITS, _SHF_COMPRESSED = 0, 7, 8, 0x800
_PN_XNUM = _SHN_XINDEX = 0xFFFF
_EH_FRAME_HDR = b"\x01\x1b"  # version 1, DW_EH_PE_pcrel | DW_EH_PE_sdata4
_EH_FRAME_HDR_SIZE = 8  # up to and with the pointer to .eh_frame

_FILE_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")


class BadElf(ValueError):
    """Say why bytes cannot be read as an ELF file."""


class Segment(NamedTuple):
    """Describe a PT_LOAD program header: `file_size` bytes at `file_offset` appear at `address` (without load bias)."""

    address: int
    file_offset: int
    file_size: int
    memory_size: int
    executable: bool


class Section(NamedTuple):
    """Hold a section's bytes and its virtual address (without load bias)."""

    address: int
    data: bytes


class _FileHeader(NamedTuple):
    identity: bytes
    type: int
    machine: int
    version: int
    entry: int
    program_headers_at: int
    sections_at: int
    flags: int
    header_size: int
    program_header_size: int
    program_headers: int
    section_header_size: int
    sections: int
    names_section: int


class _SectionHeader(NamedTuple):
    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


@dataclass(frozen=True)
class Elf:
    """Hold what unwinding and naming need of one module. Addresses are the file's own, without load bias."""

    machine: int  # e_machine of the file header
    segments: tuple[Segment, ...]
    sections: Mapping[str, Section]
    build_id: bytes = b""  # GNU note
    go_build_id: bytes = b""  # Go's own note
    problems: tuple[str, ...] = field(default=())
    incomplete: frozenset[str] = frozenset()  # names of sections that a capture does not have, or not to their end

    def section(self, name: str) -> Section | None:
        """Return the section of this name, None if it was not read or does not exist."""
        return self.sections.get(name)

    def executable(self, address: int) -> bool:
        """Return whether the file has code at this address."""
        return any(s.executable and s.address <= address < s.address + s.memory_size for s in self.segments)

    def address_of(self, file_offset: int) -> int | None:
        """Return the virtual address of the byte at `file_offset`, None if no segment loads it."""
        for segment in self.segments:
            if segment.file_offset <= file_offset < segment.file_offset + segment.file_size:
                return file_offset - segment.file_offset + segment.address
        return None

    def offset_of(self, address: int) -> int | None:
        """Return the file offset of the byte at `address`, None if it is not in the file."""
        for segment in self.segments:
            if segment.address <= address < segment.address + segment.file_size:
                return address - segment.address + segment.file_offset
        return None

    def load_bias(self, start: int, file_offset: int, executable: bool = True) -> int | None:
        """Return what to subtract from addresses in a mapping that begins at `start` with the byte `file_offset`.

        The kernel maps whole pages, so the last page of one segment and the first of the next can be the
        same bytes of the file: `executable`, the mapping's own permission, tells them apart. None if no
        segment can be meant.
        """
        for segment in self.segments:
            first = segment.file_offset - segment.file_offset % _PAGE
            if segment.executable == executable and first <= file_offset < segment.file_offset + segment.file_size:
                return start - (file_offset - segment.file_offset + segment.address)
        return None


def read_elf(data: Buffer, names: Iterable[str] | None = None) -> Elf:
    """Read a whole ELF64 little-endian executable or shared object. Raises BadElf.

    Only the sections with these `names` are kept, by default those that a capture carries, as copies. Together they
    never exceed three times the file's size.
    """
    view = memoryview(data).cast("B")
    if bytes(view[:4]) != b"\x7fELF":
        raise BadElf("not an ELF file: it does not begin with 7f 45 4c 46")
    header = _FileHeader._make(_FILE_HEADER.unpack(_cut(view, 0, _FILE_HEADER.size, "the ELF header")))
    if header.identity[4:6] != b"\x02\x01":
        raise BadElf("not a 64-bit little-endian ELF file")
    if header.type not in (_EXECUTABLE, _SHARED_OBJECT):
        raise BadElf(f"neither an executable nor a shared object (ELF type {header.type})")
    problems: list[str] = []
    headers: list[_SectionHeader] = []
    try:
        headers = _section_headers(view, header)
    except BadElf as error:
        problems.append(str(error))
    table = _program_headers(view, header, headers)
    names_at = headers[0].link if headers and header.names_section == _SHN_XINDEX else header.names_section
    sections = _sections(view, headers, names_at, None if names is None else frozenset(names), problems)
    _sections_by_segment(view, table, sections)
    ids = build_ids(_note_areas(view, table, headers))
    return Elf(
        machine=header.machine,
        segments=_segments(table),
        sections=sections,
        build_id=ids.gnu,
        go_build_id=ids.go,
        problems=tuple(problems),
    )


def from_parts(
    machine: int,
    program_headers: Buffer,
    sections: Mapping[str, Section],
    build_id: bytes = b"",
    incomplete: frozenset[str] = frozenset(),
) -> Elf:
    """Make an Elf from the parts that a capture has: the program header table and sections as they are in the file.

    Raises BadElf.
    """
    table = memoryview(program_headers).cast("B")
    if len(table) % _PROGRAM_HEADER.size or len(table) > MAX_PROGRAM_HEADERS * _PROGRAM_HEADER.size:
        raise BadElf(f"a program header table of {len(table)} bytes")
    return Elf(
        machine=machine,
        segments=_segments(table),
        sections=dict(sections),
        build_id=build_id,
        incomplete=incomplete,
    )


def _cut(view: memoryview, offset: int, size: int, what: str) -> memoryview:
    if offset + size > len(view):
        raise BadElf(f"{what} ({size} bytes at {offset:#x}) is outside the file ({len(view)} bytes)")
    return view[offset : offset + size]


def _segments(table: memoryview) -> tuple[Segment, ...]:
    return tuple(
        Segment(address, offset, file_size, memory_size, bool(flags & _PF_X))
        for kind, flags, offset, address, _, file_size, memory_size, _ in _PROGRAM_HEADER.iter_unpack(table)
        if kind == _PT_LOAD and address + memory_size <= _TOP and offset + file_size <= _TOP
    )


def _program_headers(view: memoryview, header: _FileHeader, sections: list[_SectionHeader]) -> memoryview:
    count = sections[0].info if sections and header.program_headers == _PN_XNUM else header.program_headers
    if count and header.program_header_size != _PROGRAM_HEADER.size:
        raise BadElf(f"program headers of {header.program_header_size} bytes, expected {_PROGRAM_HEADER.size}")
    if count > MAX_PROGRAM_HEADERS:
        raise BadElf(f"{count} program headers, at most {MAX_PROGRAM_HEADERS} are read")
    return _cut(view, header.program_headers_at, count * _PROGRAM_HEADER.size, "the program header table")


def _section_headers(view: memoryview, header: _FileHeader) -> list[_SectionHeader]:
    at, size, count = header.sections_at, header.section_header_size, header.sections
    if not at:
        return []
    if size != _SECTION_HEADER.size:
        raise BadElf(f"section headers of {size} bytes, expected {_SECTION_HEADER.size}")
    if not count:
        first = _SECTION_HEADER.unpack(_cut(view, at, size, "the first section header"))
        count = _SectionHeader._make(first).size
    if count > MAX_SECTIONS:
        raise BadElf(f"{count} sections, at most {MAX_SECTIONS} are read")
    table = _cut(view, at, count * size, "the section header table")
    return list(map(_SectionHeader._make, _SECTION_HEADER.iter_unpack(table)))


def _sections(
    view: memoryview, headers: list[_SectionHeader], strings: int, wanted: frozenset[str] | None, problems: list[str]
) -> dict[str, Section]:
    if not headers:
        return {}
    if strings >= len(headers):
        problems.append(f"the section names should be in section {strings}, but there are {len(headers)} sections")
        return {}
    try:
        names = _cut(view, headers[strings].offset, headers[strings].size, "the table of section names")
    except BadElf as error:
        problems.append(str(error))
        return {}
    named = [(_name(names, header.name), header) for header in headers if header.type not in (_SHT_NULL, _SHT_NOBITS)]
    if wanted is None:
        wanted = frozenset(carried({name for name, _ in named}))
    found: dict[str, Section] = {}
    left = len(view)
    for name, header in named:
        if name not in wanted or name in found:
            continue
        if header.flags & _SHF_COMPRESSED:
            problems.append(f"section {name} is compressed (SHF_COMPRESSED): not read")
        elif header.size > left:
            problems.append(f"section {name} ({header.size} bytes) does not fit into the file beside the others")
        else:
            try:
                found[name] = Section(header.address, bytes(_cut(view, header.offset, header.size, f"section {name}")))
                left -= header.size
            except BadElf as error:
                problems.append(str(error))
    return found


def _name(names: memoryview, at: int) -> str:
    """Return the name of a section as far as it can be one that is wanted."""
    return bytes(names[at : at + MAX_SECTION_NAME]).partition(b"\0")[0].decode("latin-1")


def _sections_by_segment(view: memoryview, table: memoryview, sections: dict[str, Section]) -> None:
    """Find .eh_frame_hdr and .eh_frame where there is no section header table: it is the loader's own way.

    The LSB (Core, 10.6.2) begins .eh_frame_hdr with version 1, then the encoding of the pointer to
    .eh_frame; both GNU ld and lld write a 4-byte one relative to itself. Nothing says where .eh_frame ends but its zero
    terminator.
    """
    if ".eh_frame" in sections:
        return
    segments = _segments(table)
    for kind, _, offset, address, _, size, _, _ in _PROGRAM_HEADER.iter_unpack(table):
        header = view[offset : offset + size]
        if kind != _PT_GNU_EH_FRAME or header[:2] != _EH_FRAME_HDR or not _EH_FRAME_HDR_SIZE <= size == len(header):
            continue
        frames = address + 4 + struct.unpack_from("<i", header, 4)[0]
        for segment in segments:
            if segment.address <= frames < segment.address + segment.file_size:
                at = frames - segment.address + segment.file_offset
                sections[".eh_frame_hdr"] = Section(address, bytes(header))
                sections[".eh_frame"] = Section(frames, bytes(view[at : segment.file_offset + segment.file_size]))
                return


def _note_areas(view: memoryview, table: memoryview, headers: list[_SectionHeader]) -> Iterator[memoryview]:
    areas = [(h.offset, h.size) for h in headers if h.type == _SHT_NOTE][:MAX_NOTE_AREAS]
    areas += [(h[2], h[5]) for h in _PROGRAM_HEADER.iter_unpack(table) if h[0] == _PT_NOTE][:MAX_NOTE_AREAS]
    for offset, size in areas:
        yield view[offset : offset + min(size, MAX_NOTE_AREA_BYTES)]
