"""A stack trace is a list of frames, leaf first; a frame without a name says why, a stack without frames
too."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass

from httpcapture import StackStatus


class Unnamed(enum.Enum):
    """Why a frame has no name; the value is how it is said."""

    NO_MAPS = "the process's maps were not recorded"
    UNMAPPED = "outside any mapping"
    NOT_CODE = "memory that is not executable"
    ANONYMOUS = "anonymous memory, as of a JIT"
    KERNEL_PROVIDED = "the kernel's own mapping"  # [vdso], [vsyscall]
    NO_MODULE = "its file was not recorded"
    NO_IDENTITY = "its build ID was not recorded"
    NOT_FOUND = "binary not found here"
    OTHER_BUILD = "another build of the binary is here"
    UNREADABLE = "binary not readable"
    NO_SYMBOL = "no symbol covers it"


class NoStack(enum.Enum):
    """Why a call has no stack trace; the value is how it is said."""

    NOT_TAKEN = "not taken, the process did not send"
    NO_USER_SPACE = "no user space, a kernel thread or io_uring sent"
    FAULT = "not readable"
    LOST = "lost"
    MISSING = "missing in the capture"
    EMPTY = "empty"
    UNKNOWN = "of a kind that this version does not know"

    @classmethod
    def of(cls, status: int) -> NoStack:
        """Of a StackStatus other than RECORDED."""
        try:
            return cls[StackStatus(status).name]
        except (ValueError, KeyError):
            return cls.UNKNOWN


@dataclass(frozen=True)
class Frame:
    """One function activation. `symbol_offset` counts from the symbol's start, `file_offset` from the
    file's."""

    address: int
    module: str | None = None  # path, as the process saw it
    file_offset: int | None = None
    name: str | None = None
    symbol_offset: int | None = None
    file: str | None = None
    line: int | None = None
    unnamed: Unnamed | None = None

    @property
    def label(self) -> str:
        """The name; without one `module+0xoffset`, or the reason where there is no module either."""
        if self.name is not None:
            return self.name
        if self.module is not None:
            return f"{os.path.basename(self.module)}+0x{self.file_offset or 0:x}"
        return f"[{self.unnamed.value if self.unnamed else 'unknown'}]"


@dataclass(frozen=True)
class StackTrace:
    """Frames, leaf first; without any, the reason. `left_out` counts frames beyond the limit."""

    frames: tuple[Frame, ...]
    missing: NoStack | None = None
    left_out: int = 0
