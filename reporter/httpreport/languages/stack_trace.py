"""Define stack traces: frames, leaf first. A frame without a name has a reason, and so has a stack without frames."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Optional

from httpcapture import StackStatus

from ..unwind import End, Found


class Reason(enum.Enum):
    """Say why something is missing; the value is the text for users."""

    @property
    def remedy(self) -> str:
        """Return what would help, empty if nothing is known to help."""
        return _REMEDIES.get(self, "")

    @property
    def text(self) -> str:
        """Return the reason, and what would help."""
        return f"{self.value}; {self.remedy}" if self.remedy else str(self.value)


class Unnamed(Reason):
    """Say why a frame has no name."""

    NO_MAPS = "the process's maps were not recorded"
    MAPS_DIFFER = "the code that is mapped here changed around that moment"
    STACK_NOT_IN_MAPS = "its process's maps were read when it was another program, or the thread had ended"
    UNMAPPED = "outside any mapping"
    NOT_CODE = "memory that is not executable"
    JIT_CODE_REPLACED = "code made at run time, which was replaced around that moment"
    ANONYMOUS = "code made at run time, without a JIT map"
    NO_JIT_MAP_SEEN = "code made at run time, without a JIT map when its process was last looked at"
    NOT_IN_JIT_MAP = "code made at run time, not in its JIT map"
    JIT_MAP_CUT_OFF = "code made at run time, not in what was recorded of its JIT map"
    KERNEL_PROVIDED = "the kernel's own mapping"  # [vdso], [vsyscall]
    LEFT_OUT = "left out, since what would name it takes too much memory"
    NO_MODULE = "its file was not recorded"
    AMBIGUOUS = "two files were recorded under its id"
    NO_IDENTITY = "its build ID was not recorded"
    NOT_FOUND = "binary not found here"
    OTHER_BUILD = "another build of the binary is here"
    UNREADABLE = "binary not readable"
    SYMBOLS_LEFT_OUT = "its symbols were left out of the capture"
    CODE_GONE = "its code object was gone before it could be read"
    CODE_NOT_RECORDED = "its code object was not recorded"
    GENERATORS = "generators that wait for this one by yield from are not followed"
    FUNCTION_MOVED = "its function was moved or freed before it could be read"
    STRIPPED = "no symbol in the stripped binary"
    NO_SYMBOL = "no symbol at this address"


HOW_GUESSED: dict[Found | None, str] = {
    Found.FRAME_POINTER: "by frame pointer",
    Found.FRAME_POINTER_PAST: "by frame pointer, callers may be missing",
    Found.STACK_TOP: "by the top of the stack",
}
"""How frames were found that have no unwind information, in words."""


class NoStack(Reason):
    """Say why a call has no stack trace."""

    NOT_TAKEN = "not taken, the process did not send"
    NO_USER_SPACE = "no user space, it was a kernel thread or io_uring"
    FAULT = "not readable"
    LOST = "lost"
    BELOW_THRESHOLD = "not taken of calls below the threshold"
    MISSING = "missing in the capture"
    AMBIGUOUS = "two stacks were recorded under its id"
    LEFT_OUT = "left out, since the stack traces take too much memory"
    EMPTY = "empty"
    UNKNOWN = "of a kind that this version does not know"

    @classmethod
    def of(cls, status: int) -> NoStack:
        """Return the reason for a StackStatus other than RECORDED."""
        try:
            return cls[StackStatus(status).name]
        except (ValueError, KeyError):
            return cls.UNKNOWN


class Incomplete(Reason):
    """Say why a stack trace may lack frames."""

    STACK_ENDED = "the stack copy ended"
    NOT_CODE = "the last address is in no executable mapping"
    TOO_FAR = "the next frame is further up the stack than can be copied"
    OTHER_STACK = "the next frame is not on this stack"
    PAGE_MISSING = "a page of the stack was not in memory"
    NO_CFI = "a function without unwind information, and no frame pointer to follow"
    CALLERS_SKIPPED = "callers may be missing: a function without unwind information need not keep frame pointers"
    NO_BINARY = "a function whose unwind information is neither in the capture nor here"
    BAD_CFI = "bad unwind information"
    NOT_GROWING = "the next frame would not be above this one"
    TOO_MANY_FRAMES = "more frames than the limit"
    GREENLET = "a greenlet began here: what lies beyond belongs to other greenlets"
    AS_RECORDED = "frame pointers only, recorded without stack copies"
    NO_COPY = "frame pointers only, no stack copy: no slot was free"
    PROCESS_OF_32_BIT = "frame pointers only, no stack copy: a 32-bit process"
    UNREADABLE = "frame pointers only, the stack could not be copied"
    NO_MAPS = "frame pointers only, the process's maps were not recorded"
    STACK_NOT_IN_MAPS = "not unwound, the process's maps were read when it was another program or the thread had ended"
    OTHER_PROCESSOR = "frame pointers only, this version does not unwind stacks of this processor"
    UNKNOWN = "for a reason that this version does not know"

    @classmethod
    def of(cls, end: End) -> Incomplete | None:
        """Return the reason for the end of a walk, None if it is the end of the stack."""
        return cls.__members__.get(end.name)


_NAME_CODE = "node --perf-basic-prof, python3.12 -X perf, jcmd PID Compiler.perfmap"
_REMEDIES: dict[Reason, str] = {
    Unnamed.ANONYMOUS: _NAME_CODE,
    Unnamed.NO_JIT_MAP_SEEN: _NAME_CODE,
    Unnamed.SYMBOLS_LEFT_OUT: "record with a larger --modules-size",
    Incomplete.STACK_ENDED: "record with --stack-size 64",
    Incomplete.CALLERS_SKIPPED: "Java needs -XX:+PreserveFramePointer and a perf-PID.map",
    Incomplete.NO_BINARY: "give --symfs, or record with a larger --modules-size",
}


class FramesProblem(enum.Enum):
    """Say what is wrong with the frames of a program; the value is the text for users, without the language."""

    NOT_WALKED = "{} frames may be missing: the kernel did not follow them for this stack"
    CUT = "outer {} frames are missing: there are more than the recorder follows"
    OTHER_STATE = "{} frames are missing: the state of the thread was not where it should be"
    FAULT = "outer {} frames are missing: their memory could not be read"
    CONTRADICTION = "{} frames are missing: they contradict the native frames"
    HAS_THREADS = "{} frames may be missing: those of a {} that is built for threads are not followed"
    OTHER_VERSION = "{} frames may be missing: the recorder does not know this version of {}"
    UNKNOWN = "{} frames may be missing, for a reason that this version does not know"

    def text(self, kind: FrameKind) -> str:
        """Return the text for frames of a kind."""
        return self.value.replace("{}", kind.language)


class FrameKind(enum.Enum):
    """Say what a frame is of."""

    NATIVE = "native"  # machine code
    PYTHON = "python"  # a function of a Python program
    JAVASCRIPT = "javascript"  # a function of a JavaScript program
    PHP = "php"  # a function of a PHP program
    INTERPRETER = "interpreter"  # machine code of an interpreter that runs frames of a program, which are shown
    PLUMBING = "plumbing"  # stands for several frames, which `name` describes; it is only made to be shown

    @property
    def language(self) -> str:
        """Return the language of a program's function, empty for machine code."""
        return _LANGUAGES.get(self, "")


_LANGUAGES = {FrameKind.PYTHON: "Python", FrameKind.JAVASCRIPT: "JavaScript", FrameKind.PHP: "PHP"}


class Frame(NamedTuple):
    """Describe one function activation. Its offsets count from the start of the symbol, and of the file.

    The address of a frame of a program is 0. `first_line` is where its function begins, known if its line is not.
    """

    address: int
    module: Optional[str] = None  # path, as the process saw it
    file_offset: Optional[int] = None
    name: Optional[str] = None
    symbol_offset: Optional[int] = None
    file: Optional[str] = None
    line: Optional[int] = None
    unnamed: Optional[Unnamed] = None
    function_start: Optional[int] = None  # address in the module; known if it has unwind information but no name
    found: Optional[Found] = None  # how the unwinder found it; None in a stack trace by frame pointers only
    inlined: bool = False  # into the frame that follows: no activation of its own on the stack
    kind: FrameKind = FrameKind.NATIVE
    first_line: Optional[int] = None

    @property
    def label(self) -> str:
        """Return the name, of a program with file and line; without one, `module+0xSTART` by the function's unwind
        information, which is the same in every capture; else `module+0xoffset` in the file; without a module, the
        reason. All plumbing has the same label, so that pictures have one box for it."""
        if self.kind is FrameKind.PLUMBING:
            return "[plumbing]"
        if self.kind.language and self.name is not None:
            return f"{self.name} ({self.file}{self._where})"
        if self.name is not None:
            return self.name
        if self.module is not None:
            start = self.file_offset or 0 if self.function_start is None else self.function_start
            return f"{os.path.basename(self.module)}+0x{start:x}"
        return f"[{self.unnamed.value if self.unnamed else 'unknown'}]"

    @property
    def _where(self) -> str:
        if self.line is None:
            return "" if self.first_line is None else f", from line {self.first_line}"
        return f":{self.line}"


@dataclass(frozen=True)
class StackTrace:
    """Hold the frames of a stack, leaf first, or the reason why there are none.

    `left_out` counts frames beyond the limit. `repeats` counts the outermost frames that repeat up to the limit of what
    is recorded by frame pointers. `hidden` counts frames of an interpreter that are left out on purpose, `plumbing`
    other frames that are.
    """

    frames: tuple[Frame, ...]
    missing: NoStack | None = None
    left_out: int = 0
    incomplete: Incomplete | None = None
    copied: int = 0  # bytes of the stack copy if it ended too early
    repeats: int = 0
    python_problem: FramesProblem | None = None
    php_problem: FramesProblem | None = None
    hidden: int = 0
    plumbing: int = 0

    @property
    def problems(self) -> Iterator[str]:
        """Yield in words what is wrong with the frames of programs."""
        for kind, problem in ((FrameKind.PYTHON, self.python_problem), (FrameKind.PHP, self.php_problem)):
            if problem is not None:
                yield problem.text(kind)

    def without_interpreter(self) -> StackTrace:
        """Return the stack trace with the frames of an interpreter hidden."""
        frames = tuple(frame for frame in self.frames if frame.kind is not FrameKind.INTERPRETER)
        hidden = len(self.frames) - len(frames)
        return replace(self, frames=frames, hidden=self.hidden + hidden) if hidden else self
