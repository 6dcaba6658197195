"""A record is one fact that the recorder copied; nothing in it is interpreted.

The classes here are the vocabulary of the capture file: the recorder makes them and `Writer` writes them, `Reader`
yields them again. Times are nanoseconds: `_ns` on CLOCK_MONOTONIC, `start_ns` of a process since boot. Texts that come
from a process (comms, paths, maps) are bytes, as the kernel gave them.
"""

from __future__ import annotations

import enum
from abc import abstractmethod
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple, Union


class Role(enum.IntEnum):
    """Who sent the request first, as seen from the recorded process."""

    UNKNOWN = 0
    CLIENT = 1
    SERVER = 2


class RoleSource(enum.IntEnum):
    """What told the role."""

    NONE = 0
    CONNECTION = 1  # accept or connect was seen
    PAYLOAD = 2  # an HTTP method or "HTTP/1." in the first bytes


class Outcome(enum.IntEnum):
    """How a call ended. Only an answered call has a response; for all others t2 is when the end was seen."""

    ANSWERED = 0
    EOF = 1
    RESET = 2
    CLOSED = 3
    IN_FLIGHT = 4


class StackStatus(enum.IntEnum):
    """Whether a call's `stack` names a Stack record, and if not, why."""

    RECORDED = 0
    NOT_TAKEN = 1  # the process did not send in this call
    NO_USER_SPACE = 2  # a kernel thread or an io_uring worker sent
    FAULT = 3  # the kernel could not read the stack
    LOST = 4  # the stack ring was full, or too many stacks were waiting


@dataclass(frozen=True)
class Field:
    """One field of a row: `type` is u8, u16, u32, u64 or bytesN (N bytes), `offset` its place in the row in bytes,
    `coding` how its column stands in the file: as it is, "planes", "delta" or "group" (codings.py)."""

    name: str
    type: str
    offset: int
    unit: str = ""
    coding: str = ""


@dataclass(frozen=True)
class Layout:
    """The fixed-size row of a batch, as the BPF program emits it: little-endian, naturally aligned, `size` bytes."""

    size: int
    fields: Sequence[Field]


@dataclass(frozen=True)
class Meta:
    """What was recorded, where and how. The first record of every capture."""

    tool: str  # name and version of the recorder
    host: str
    kernel: str  # uname -r
    arch: str  # uname -m
    boot_id: str
    started_monotonic_ns: int  # one moment on two clocks
    started_realtime_ns: int
    threshold_ns: int  # shorter calls were not recorded
    process_filters: Sequence[bytes]  # the -p patterns; empty: all processes
    probes: str  # "fexit", "kprobe" or "tracepoint"
    clock_ticks: int  # sysconf(SC_CLK_TCK)
    page_size: int
    limits: Mapping[str, int]  # sizes of rings and maps, by name
    call_layout: Layout
    completion_layout: Layout
    run: str = ""  # the same in all parts of one recording, and in no other
    part: int = 1  # which of them this is
    redacted: str = ""  # name and version of the program that took secrets out of the capture; empty: as recorded


class CodedColumn(NamedTuple):
    """A column of a batch as its coding has it, which `codings.decode` undoes: of one field, or of several whose values
    alternate, of `width` bytes each; one value a row, or a group of rows."""

    fields: tuple[str, ...]  # their names
    width: int
    coding: str
    data: bytes


class BatchColumns(Mapping[str, memoryview]):
    """The columns of a batch by field name: little-endian values, one a row, one after the other and without gaps, as
    numpy.frombuffer takes them. Each is unpacked when it is asked for, and CorruptRecord raised where it is damaged.

    What is `grouped` is kept with one value a group of rows that follow one another."""

    @property
    @abstractmethod
    def grouped(self) -> Set[str]:
        """Names of columns."""

    @property
    @abstractmethod
    def group_sizes(self) -> memoryview:
        """How many rows each group has, a u32 each; in all they are the rows of the batch."""

    @property
    @abstractmethod
    def packed_size(self) -> int:
        """Bytes that they take in memory as long as nothing is unpacked."""

    @abstractmethod
    def packed(self) -> BatchColumns:
        """The same, with nothing unpacked: to be kept for later."""

    @abstractmethod
    def coded(self, name: str) -> CodedColumn:
        """The column that has the values of a field, one a group where it is `grouped`; for who decodes it faster."""


@dataclass(frozen=True)
class Calls:
    """A batch of `rows` calls, one column a field of `Meta.call_layout`, ordered by process and connection."""

    rows: int
    columns: BatchColumns


@dataclass(frozen=True)
class Completions:
    """A batch of response ends (`Meta.completion_layout`): for a call whose response went on after t2, its t3 and
    final byte counts. A call without one had t3 = t2, unless the ledger says that completions were lost."""

    rows: int
    columns: BatchColumns


@dataclass(frozen=True)
class Stack:
    """A user stack as recorded, leaf first. Calls refer to it by `id`. Without `registers` only `frames` was taken;
    with an `end` these are what was unwound of registers and memory, which were then left out."""

    id: int
    pid: int
    process_start_ns: int
    taken_ns: int
    frames: bytes  # u64 little-endian addresses found by frame pointer
    registers: bytes = b""  # the user's, as the kernel of Meta.arch lays them out (x86_64: struct pt_regs, 21 u64)
    memory_address: int = 0  # where `memory` was copied from: the stack pointer
    memory: bytes = b""  # the stack's bytes from there upwards, as far as they were copied
    missing_pages: int = 0  # bit n: the n-th page that `memory` touches was not there, its bytes are 0
    end: str = ""  # how far `frames` go: UNWOUND_WHOLE, or the name of the reason why outer ones may be missing
    found: bytes = b""  # how each of `frames` was unwound, a byte each; empty: by frame pointers, as recorded
    copied: int = 0  # bytes that `memory` had, where the frames end because it did
    maps: int = 0  # that `frames` are in: those of the n-th Process record of this process; 0: there are none


UNWOUND_WHOLE = "whole"
"""`Stack.end` of a stack whose outermost frame was reached."""


@dataclass(frozen=True)
class MappedModule:
    """The mapping that starts at `address` maps the module `module`."""

    address: int
    module: int


@dataclass(frozen=True)
class Process:
    """A process and its /proc/PID/maps at one moment. It may come again, with newer maps."""

    pid: int
    start_ns: int  # start of the thread group leader, since boot
    taken_ns: int
    name: bytes  # the thread group leader's comm
    executable: bytes  # /proc/PID/exe
    namespace_pid: int  # its pid in its own pid namespace, 0 where not known
    maps: bytes  # /proc/PID/maps as read
    modules: Sequence[MappedModule]
    problem: str = ""  # why something above is missing


@dataclass(frozen=True)
class Module:
    """One ELF file that was mapped."""

    id: int
    path: bytes  # as in /proc/PID/maps
    build_id: bytes  # empty where the file has none
    size: int
    first_page_sha256: bytes  # stands in for a missing build ID
    problem: str = ""  # why something above is missing
    machine: int = 0  # e_machine of the ELF header; 0 where it was not read


CARRIED = (
    *(".eh_frame_hdr", ".eh_frame", ".symtab", ".strtab", ".dynsym", ".dynstr"),
    *(".gnu_debugdata", ".gnu_debuglink"),
)
"""Names of the sections that unwinding and naming need: a capture carries them."""

VDSO = b"[vdso]"  # path of the mapping of the code that the kernel gives every process; a capture carries it whole
KERNEL_PATHS = (VDSO, b"[vsyscall]")  # paths of all such mappings

WHOLE_FILE = ""
PROGRAM_HEADERS = "program headers"
SECTION_HEADERS = "section headers"
"""Names of a Section that is no section of the ELF file: the file as a whole (the vdso), and its two header tables."""


@dataclass(frozen=True)
class Section:
    """A part of what a capture carries of a module: of a section by its ELF name, or of what is named above. A large
    one comes in several parts, one after the other. A `problem` says why what follows `data` is missing."""

    module: int  # Module.id
    name: str
    address: int  # virtual, in the module without load bias; 0 where it is not loaded
    size: int  # bytes of the whole
    start: int  # where this part begins in the whole
    data: bytes  # as in the file
    problem: str = ""


@dataclass(frozen=True)
class JitMap:
    """A part of a process's perf-PID.map, the names of code made at run time. A large one comes in several parts, one
    after the other; another `taken_ns` is another map. A `problem` says why what follows `data` is missing."""

    pid: int
    process_start_ns: int
    taken_ns: int  # the same for all parts of one map
    start: int  # where this part begins in the text
    data: bytes  # as in the file; a line may go on in the next part
    problem: str = ""


@dataclass(frozen=True)
class Lost:
    """The ledger at one moment: what was lost since the start, by cause, and what was too fast to be recorded."""

    at_ns: int
    counts: Mapping[str, int]
    slowest_ns: int = 0  # the longest call below the threshold since the recording began, in all its parts
    durations: Sequence[int] = ()  # of calls below the threshold: number n counts those of 2^n to 2^(n+1) - 1 ns


@dataclass(frozen=True)
class End:
    """The last record of a capture that was not cut off."""

    at_ns: int
    reason: str  # what ended it: a signal's name, "duration", "size", "rotated": another part goes on, or what failed
    clean: bool  # everything that was in the rings and maps was written
    emitted: int  # calls that the kernel tried to emit
    recorded: int  # calls in this file
    in_flight: int  # of those, calls written from the connection map at the end
    lost: Mapping[str, int] = field(default_factory=dict)
    slept_ns: int = 0  # that the host was suspended since META, which no other time contains


Record = Union[Meta, Calls, Completions, Stack, Process, Module, Section, JitMap, Lost, End]
