"""Define the records of a capture. A record is one fact that the recorder copied; nothing in it is interpreted.

The recorder makes records, `Writer` writes them, and `Reader` yields them again. Times are nanoseconds on
CLOCK_MONOTONIC (`_ns`), except the `start_ns` of a process, which counts from boot. Texts that come from a process
(comms, paths, maps) are bytes, as the kernel gave them.
"""

from __future__ import annotations

import enum
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple, Union


class Role(enum.IntEnum):
    """Say whether the recorded process sent the request (client) or received it (server)."""

    UNKNOWN = 0
    CLIENT = 1
    SERVER = 2


class RoleSource(enum.IntEnum):
    """Say how the role was recognised."""

    NONE = 0
    CONNECTION = 1  # accept or connect was seen
    PAYLOAD = 2  # an HTTP method or "HTTP/1." in the first bytes
    LISTENER = 3  # whether its namespace listened on the local port when the recording began


class Outcome(enum.IntEnum):
    """Say how a call ended. Only an answered call has a response; for all others t2 is when the end was seen."""

    ANSWERED = 0
    EOF = 1
    RESET = 2
    CLOSED = 3
    IN_FLIGHT = 4


class JudgedBy(enum.IntEnum):
    """Say which duration of a call decides whether it is slow."""

    WHOLE = 0  # to the end of the response
    FIRST_BYTE = 1  # to its first byte: what follows has no end that can be told, as after 101 Switching Protocols


class StackStatus(enum.IntEnum):
    """Say whether a call's `stack` names a Stack record, and if not, why."""

    RECORDED = 0
    NOT_TAKEN = 1  # the process did not send in this call
    NO_USER_SPACE = 2  # a kernel thread or an io_uring worker sent
    FAULT = 3  # the kernel could not read the stack
    LOST = 4  # the stack ring was full, or too many stacks were waiting


UTF_8 = 0
"""Width of the characters of a text that is in UTF-8."""


class WalkStatus(enum.IntEnum):
    """Say how far the frames of a stack go that the kernel has walked, of Python or of PHP."""

    NOT_WALKED = 0  # the process had no interpreter that the recorder knew, or this was not asked for
    WHOLE = 1  # to the outermost frame
    CUT = 2  # there are more outer frames than the recorder follows
    NO_STATE = 3  # the thread runs no program of that language
    OTHER_STATE = 4  # the state of the thread was not where it should be
    FAULT = 5  # memory of an outer frame could not be read
    HAS_THREADS = 6  # the PHP is one that is built for threads
    OTHER_VERSION = 7  # the recorder does not know this version


@dataclass(frozen=True)
class Field:
    """Describe one field of a row: `type` is u8, u16, u32, u64 or bytesN (N bytes), `offset` counts bytes from the
    start of the row, and `coding` says how the column is encoded: "" (not), "planes", "delta" or "group"
    (codings.py)."""

    name: str
    type: str
    offset: int
    unit: str = ""
    coding: str = ""


@dataclass(frozen=True)
class Layout:
    """Describe a row of `size` bytes as the BPF program emits it: little-endian, naturally aligned."""

    size: int
    fields: Sequence[Field]


NO_ROWS = Layout(8, ())
"""Layout of rows that a capture does not have: a row has at least 8 bytes, but none of them means anything."""


@dataclass(frozen=True)
class Meta:
    """Say what was recorded, where and how: the first record of every capture."""

    tool: str  # name and version of the recorder
    host: str
    kernel: str  # uname -r
    arch: str  # uname -m
    boot_id: str
    started_monotonic_ns: int  # the start on CLOCK_MONOTONIC
    started_realtime_ns: int  # the same moment on CLOCK_REALTIME
    threshold_ns: int  # shorter calls are in no Calls
    process_filters: Sequence[bytes]  # the -p patterns; empty: all processes
    probes: str  # "fexit", "kprobe" or "tracepoint"
    clock_ticks: int  # sysconf(SC_CLK_TCK)
    page_size: int
    limits: Mapping[str, int]  # sizes of rings and maps, by name
    call_layout: Layout
    completion_layout: Layout
    run: str = ""  # ID of the recording: the same in all its parts, and in no other recording
    part: int = 1  # number of this part, from 1
    redacted: str = ""  # name and version of the program that redacted the capture; empty: not redacted
    duration_rule: str = ""  # JUDGED_WHOLE; empty: `threshold_ns` is of t2 - t0, in captures from before this field
    heads: str = ""  # what was kept of the heads of requests and responses, for people; empty: nothing
    python_problem: str = ""  # why frames of Python and PHP could not be followed; empty: they could, or nobody asked
    short_layout: Layout = NO_ROWS  # of calls below the threshold; NO_ROWS: they were counted only
    connection_layout: Layout = NO_ROWS


JUDGED_WHOLE = "whole"
"""Value of `Meta.duration_rule` if `threshold_ns` is of the whole call, t3 - t0, except where `judged_by` says
otherwise."""


COUNT_NOT_KNOWN = (1 << 32) - 1
"""Value of a call's `segments`, `retransmitted` or `out_of_order` if it is not known."""


class CodedColumn(NamedTuple):
    """Hold an encoded column of a batch, which `codings.decode` decodes. It has one field, or several fields whose
    values alternate, of `width` bytes each; and one value per row, or per group of rows."""

    fields: tuple[str, ...]  # names of the fields
    width: int
    coding: str
    data: bytes


class BatchColumns(Mapping[str, memoryview]):
    """Map field names to the columns of a batch: little-endian values without gaps, one per row, ready for
    numpy.frombuffer. A column is unpacked when it is asked for; CorruptRecord is raised if it is damaged.

    A `grouped` column is stored with one value per group of consecutive rows."""

    @property
    @abstractmethod
    def grouped(self) -> Set[str]:
        """Return the names of the grouped columns."""

    @property
    @abstractmethod
    def group_sizes(self) -> memoryview:
        """Return how many rows each group has, as u32; their sum is the number of rows in the batch."""

    @property
    @abstractmethod
    def packed_size(self) -> int:
        """Return how many bytes of memory the columns take while none is unpacked."""

    @abstractmethod
    def packed(self) -> BatchColumns:
        """Return the same columns with none unpacked, to be kept for later."""

    @abstractmethod
    def coded(self, name: str) -> CodedColumn:
        """Return the encoded column that holds a field, for a caller that can decode it faster. If the field is
        `grouped`, it has one value per group."""


@dataclass(frozen=True)
class Calls:
    """Hold a batch of `rows` calls, ordered by process and connection, with one column per field of
    `Meta.call_layout`."""

    rows: int
    columns: BatchColumns


@dataclass(frozen=True)
class Completions:
    """Hold a batch of ends of responses, with the columns of `Meta.completion_layout`: for each call whose response
    went on after its row was written, its t3 and final byte counts. The t3 of a call without a completion is that of
    its row, unless completions were lost (see Lost)."""

    rows: int
    columns: BatchColumns


@dataclass(frozen=True)
class Connections:
    """Hold a batch of what the calls below the threshold of a process on a connection have in common, with the columns
    of `Meta.connection_layout`. ShortCalls refer to them by `connection` and `pid`."""

    rows: int
    columns: BatchColumns


@dataclass(frozen=True)
class ShortCalls:
    """Hold a batch of calls that ended below the threshold, ordered by connection, with the columns of
    `Meta.short_layout`. Of one without a row of Connections, which may be lost, it is not known whose it was."""

    rows: int
    columns: BatchColumns


@dataclass(frozen=True)
class Stack:
    """Hold a user stack, leaf first, to which calls refer by `id`.

    Without `registers`, only `frames` was recorded. With an `end`, `frames` were unwound from registers and memory,
    which were then removed.
    """

    id: int
    pid: int
    process_start_ns: int
    taken_ns: int
    frames: bytes  # u64 little-endian addresses found by frame pointer
    registers: bytes = b""  # the user's registers as the kernel of Meta.arch has them (x86_64: struct pt_regs, 21 u64)
    memory_address: int = 0  # where `memory` was copied from: the stack pointer
    memory: bytes = b""  # the copied bytes of the stack, upwards from `memory_address`
    missing_pages: int = 0  # bit n: the n-th page that `memory` touches was not present, and its bytes are 0
    end: str = ""  # UNWOUND_WHOLE, or the name of the reason for which outer `frames` may be missing
    found: bytes = b""  # one byte per frame: how it was unwound; empty: all by frame pointers, as recorded
    copied: int = 0  # size of the removed `memory`, if the frames end where it ended
    maps: int = 0  # number n: the n-th Process record of this process has the maps for `frames`; 0: none has
    other_maps: int = 0  # the same of the maps that must agree with these where a frame is; 0: none
    python: bytes = b""  # Python frames, leaf first, 5 u64 each: address, code, instruction, cookie, flags
    python_version: int = 0  # 0x030b: Python 3.11
    python_status: int = 0  # WalkStatus
    v8: bytes = b""  # JavaScript frames, leaf first, 4 u64 each: address, code, instruction, cookie
    v8_version: int = 0  # 0x0b03: V8 11.3
    php: bytes = b""  # PHP frames, leaf first, 5 u64 each: function, code, line, cookie, flags
    php_version: int = 0  # 0x0802: PHP 8.2
    php_status: int = 0  # WalkStatus


UNWOUND_WHOLE = "whole"
"""Value of `Stack.end` if the outermost frame was reached."""


@dataclass(frozen=True)
class MappedModule:
    """Say that the mapping that starts at `address` maps the module `module`."""

    address: int
    module: int


@dataclass(frozen=True)
class Process:
    """Hold a process and its /proc/PID/maps at one moment. A process can have several records, with newer maps.

    An `unchanged` record has no maps: the executable mappings were still those of the record before it."""

    pid: int
    start_ns: int  # start of the thread group leader, since boot
    taken_ns: int
    name: bytes  # the thread group leader's comm
    executable: bytes  # /proc/PID/exe
    namespace_pid: int  # the process's pid in its own pid namespace; 0 if it is not known
    maps: bytes  # /proc/PID/maps as read
    modules: Sequence[MappedModule]
    problem: str = ""  # why a field above is empty or incomplete
    read_ns: int = 0  # when the reading had ended, which began at or after `taken_ns`; 0: not known
    unchanged: bool = False
    cgroups: bytes = b""  # /proc/PID/cgroup as read
    container_name: bytes = b""  # of its container, as the host's files have it; empty: not known


@dataclass(frozen=True)
class Module:
    """Identify one ELF file that a process had mapped."""

    id: int
    path: bytes  # as in /proc/PID/maps
    build_id: bytes  # empty where the file has none
    size: int
    first_page_sha256: bytes  # identifies the file if it has no build ID
    problem: str = ""  # why a field above is empty
    machine: int = 0  # e_machine of the ELF header; 0 if it was not read


CARRIED = (
    *(".eh_frame_hdr", ".eh_frame", ".symtab", ".strtab", ".dynsym", ".dynstr"),
    *(".gnu_debugdata", ".gnu_debuglink"),
)
"""Names of the sections that unwinding and naming need: a capture carries them."""

GO_FUNCTION_TABLES = (".gopclntab", ".data.rel.ro.gopclntab")
"""Names of the section with Go's function table; the second one is that of position independent programs."""
GO_MODULE_DATA = (".go.module", ".noptrdata")
"""Names of the sections that may have the module data of a Go program, which tells where other tables are."""
_GO_TREES = ".rodata"  # has the trees of inlined calls, unless the function table has them: then there is a .go.module
ALL_CARRIED = (*CARRIED, *GO_FUNCTION_TABLES, *GO_MODULE_DATA, _GO_TREES)
"""Names of all sections that a capture may carry."""


def carried(sections: Collection[str]) -> Sequence[str]:
    """Return which of the sections of a file, by name, a capture carries, the most useful first."""
    names = CARRIED
    if any(name in sections for name in GO_FUNCTION_TABLES):
        trees = () if GO_MODULE_DATA[0] in sections else (GO_MODULE_DATA[1], _GO_TREES)
        names = (*CARRIED, *GO_FUNCTION_TABLES, GO_MODULE_DATA[0], *trees)
    return [name for name in names if name in sections]


VDSO = b"[vdso]"  # path of the mapping of the code that the kernel gives every process; a capture carries it whole
KERNEL_PATHS = (VDSO, b"[vsyscall]")  # paths of all such mappings

MEMORY_FILES = (b"/memfd:", b"/dev/zero", b"/dev/shm/", b"/SYSV", b"/anon_hugepage")
"""What the paths of files begin with that are memory: they hold code only if a program made it (memfd_create(2),
mmap(2), shm_open(3), shmget(2))."""

WHOLE_FILE = ""
PROGRAM_HEADERS = "program headers"
SECTION_HEADERS = "section headers"
"""Names of Section records that hold no section of the ELF file: the whole file (the vdso), and its two header
tables."""


@dataclass(frozen=True)
class Section:
    """Hold a part of a module: of an ELF section, by its name, or of what the names above mean. A large section has
    several parts, one after the other. A `problem` says why the bytes after `data` are missing."""

    module: int  # Module.id
    name: str
    address: int  # virtual address in the module, without load bias; 0 if the section is not loaded
    size: int  # bytes of the whole section
    start: int  # offset of this part in the section
    data: bytes  # as in the file
    problem: str = ""


NO_JIT_MAP_SEEN = "its process had ended"
"""The problem of a JIT map without text if none was there when its process was last looked at."""


@dataclass(frozen=True)
class JitMap:
    """Hold a part of a process's JIT map, the names of code made at run time. A map that is large or grows has
    several parts, one after the other; another `taken_ns` means another map. A `problem` says why the bytes after
    `data` are missing."""

    pid: int
    process_start_ns: int
    taken_ns: int  # when the first part of the map was read: the same for all its parts
    start: int  # offset of this part in the map
    data: bytes  # as in the file; a line can continue in the next part
    problem: str = ""
    read_ns: int = 0  # when the reading of this part had ended; 0: at `taken_ns`


@dataclass(frozen=True)
class Code:
    """Hold a code object of a process, to which frames of programs refer by process, `address` and `cookie`. A
    `problem` says why the fields after it are empty."""

    pid: int
    process_start_ns: int
    address: int
    cookie: int  # another one: another code object at the same address
    problem: str
    name: bytes = b""  # co_qualname, or co_name before Python 3.11: its characters
    name_width: int = 1  # bytes of a character: 1 (Latin-1), 2 or 4 (code points), or UTF_8
    filename: bytes = b""
    filename_width: int = 1
    first_line: int = 0  # co_firstlineno, modulo 2^32
    table: bytes = b""  # co_lnotab up to Python 3.9, then co_linetable
    bytecode: int = 0  # address of the first instruction; 0 up to Python 3.10
    bytecode_size: int = 0  # bytes
    first_traceable: int = 0  # _co_firsttraceable, the index of an instruction
    position: int = 0  # of a JavaScript function: where it starts in its script, in characters
    line_ends: bytes = b""  # u32 each: where its lines end, in characters from there


@dataclass(frozen=True)
class HeadText:
    """Hold the head of a request or response, to which `Heads` refer by `number`, as far as it was kept. A head that
    many calls have is written once.

    `text` has its lines, joined by newlines: of a request `METHOD TARGET VERSION`, of a response `VERSION STATUS`, with
    `?` for what is not known; then header lines, `name: value`; then HEAD_CUT, if the copy ended within the head."""

    number: int  # from 1, unique within a part
    text: bytes


HEAD_CUT = b"..."
"""Last line of a `HeadText.text` whose head goes on."""


@dataclass(frozen=True)
class Heads:
    """Say which heads calls have: columns of little-endian values, one for each call, which is known by its connection
    and sequence. A number of 0 means that the head is not known, and changes nothing of what an earlier row said."""

    connections: bytes  # u64
    sequences: bytes  # u32
    requests: bytes  # u32, HeadText.number
    responses: bytes  # u32, the same


@dataclass(frozen=True)
class CallCauses:
    """Say on behalf of which server calls client calls were made, by which rule that was found, and how certain it is:
    columns of little-endian values, one for each call. Calls are known by their connection and sequence.

    Only a redacted capture has it, since its stacks have nothing left that tells. There, the cause of a call of `Calls`
    that has no row is not known."""

    connections: bytes  # u64, of the client call
    sequences: bytes  # u32
    cause_connections: bytes  # u64, of the server call
    cause_sequences: bytes  # u32
    certainties: bytes  # u8: 1 probable, 2 sure
    rules: bytes  # u8: 1 an ID in the heads, 2 its thread, 3 its stack, 4 exclusion


@dataclass(frozen=True)
class Lost:
    """Hold the ledger at one moment: what was lost since the start, by cause, and which calls were too fast to be
    recorded."""

    at_ns: int
    counts: Mapping[str, int]
    slowest_ns: int = 0  # the longest call below the threshold since the recording began, in all its parts
    durations: Sequence[int] = ()  # element n counts the calls below the threshold that took 2^n to 2^(n+1) - 1 ns


@dataclass(frozen=True)
class End:
    """Say why and how the capture ends: the last record, unless the capture was cut off."""

    at_ns: int
    reason: str  # a signal's name, "duration", "size", "rotated" (the next part goes on), or what failed
    clean: bool  # whether everything in the rings and maps was written
    emitted: int  # calls that the kernel tried to emit
    recorded: int  # calls in this file
    in_flight: int  # how many of the recorded calls were still open at the end
    lost: Mapping[str, int] = field(default_factory=dict)
    slept_ns: int = 0  # how long the host was suspended since META; no other time includes it


RowBatch = Union[Calls, Completions, Connections, ShortCalls]
"""A record that holds rows of a layout in META, as columns."""

Record = Union[RowBatch, Meta, Stack, Process, Module, Section, JitMap, Code, HeadText, Heads, CallCauses, Lost, End]
