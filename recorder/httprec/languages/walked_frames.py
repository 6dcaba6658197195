"""Join the frames that the kernel has walked, of Python and PHP, with their stacks, and write what names these frames.

Each code object is read once, when the first frames with it arrive, and written once for each part of the recording.
The kernel sends frames before their stack, through a ring of their own, and wakes the recorder for frames that it has
not sent before: a process may end soon after a call. Those of a young process it also sends when the call begins.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple, Optional, Protocol

from httpbpf.layout import ENUMS, RUNTIME, WALKED_FRAME, WALKED_ROW
from httpcapture import MAX_MAPS, Code, Process, Stack, WalkStatus

from .. import tuning
from ..rows import RowCodec
from . import php_code, python_code
from .known_codes import CodeKey, KnownCodes, ReplacedError
from .mapped_files import DELETED, MappedFile, mapped_files
from .memory import Memory
from .php_process import find_php
from .python_process import NoPythonError, find_python

_ROW_CODEC, _RUNTIME_CODEC = RowCodec(WALKED_ROW), RowCodec(RUNTIME)
_FRAME = struct.Struct("<5Q")
_NUMBERS = {name.lower(): number for number, name in enumerate(ENUMS["language"])}
_LANGUAGES = {number: name for name, number in _NUMBERS.items()}
_NO_RUNTIME = _RUNTIME_CODEC.make({})

Key = tuple[int, int]  # pid, start since boot in ns


class Kernel(Protocol):
    """Define what the kernel takes and gives."""

    def walked_rows(self) -> Iterator[bytes]:
        """Yield the rows with frames that have arrived."""

    def walked_waiting(self, slot: int) -> bytes:
        """Return the row that waits with the stack in a slot."""

    def set_runtime(self, key: Key, runtime: bytes) -> None:
        """Tell the kernel what runs the program of a process."""

    def set_runtime_of_executable(self, pid: int, runtime: bytes) -> None:
        """Tell the kernel what runs the programs of the processes that run the same executable as a process."""


class Runtime(Protocol):
    """Describe the interpreter in a process."""

    @property
    def version(self) -> tuple[int, int]:
        """Return the major and minor version."""

    @property
    def unwalked(self) -> WalkStatus:
        """Return what is true of a stack of which no frames were walked."""

    def for_process(self) -> bytes:
        """Return the layout of its language (runtime_rows.h), empty if its frames cannot be walked."""

    def for_executable(self) -> bytes:
        """Return the same as far as it holds for all processes of the same executable."""


class Walked(NamedTuple):
    """Find the interpreters of one language, and read code objects from the memory of its processes."""

    find: Callable[[int, Iterable[MappedFile], bytes], Optional[Runtime]]
    read: Callable[[Memory, Any, CodeKey, int], Code]  # at an address


WALKED: Mapping[str, Walked] = {
    "python": Walked(find_python, python_code.code_of),
    "php": Walked(find_php, php_code.code_of),
}
"""The languages whose frames the kernel walks, by the names that fields of a Stack begin with."""


class Found(NamedTuple):
    """Hold the interpreter that was found in a process, and the name of its language."""

    language: str
    runtime: Runtime

    @property
    def version(self) -> int:
        """Return the version as in struct runtime, runtime_rows.h."""
        major, minor = self.runtime.version
        return major << 8 | minor

    def for_kernel(self, layout: bytes) -> bytes:
        """Return a struct runtime with a layout."""
        if not layout:
            return _NO_RUNTIME
        size = RUNTIME.size - RUNTIME.fields[-1].offset
        number = _NUMBERS[self.language]
        return _RUNTIME_CODEC.make({"language": number, "version": self.version, "layout": layout.ljust(size, b"\0")})


class _Row(NamedTuple):
    """Hold the frames of one stack."""

    key: Key
    taken_ns: int
    language: str
    version: int
    status: int
    frames: bytes


class WalkedFrames:
    """Add the frames of some languages, by their names in WALKED, to the stacks of one recording."""

    def __init__(self, codes: KnownCodes, kernel: Kernel, languages: Iterable[str] = WALKED) -> None:
        self._codes, self._kernel = codes, kernel
        self._languages = tuple(languages)
        self.not_read = 0  # the kernel counts them
        self._found: OrderedDict[Key, Optional[Found]] = OrderedDict()  # the most recently found last
        self._rows: OrderedDict[int, _Row] = OrderedDict()  # by id of the stack that they wait for

    def look_around(self) -> None:
        """Look for interpreters in all processes, so that the first calls of those that start later are known by their
        executables."""
        seen = set()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                status = os.stat(f"/proc/{pid}/exe")
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    self._find_now(int(pid))

    def look_at(self, process: Process) -> None:
        """Look for an interpreter in a process whose maps were read just now, and tell the kernel what there is."""
        self._learn((process.pid, process.start_ns), self._find(process.pid, process.maps, process.executable))

    def _learn(self, key: Key, found: Found | None) -> None:
        with contextlib.suppress(OSError):  # the kernel has no memory
            self._kernel.set_runtime(key, found.for_kernel(found.runtime.for_process()) if found else _NO_RUNTIME)
        self._found[key] = found
        self._found.move_to_end(key)
        if len(self._found) > tuning.MAX_KNOWN_PROCESSES:
            self._found.popitem(last=False)

    def _find_now(self, pid: int) -> Found | None:
        """Do the same as `_find` by what /proc says now. Raises OSError if the process has ended."""
        with open(f"/proc/{pid}/maps", "rb") as maps:
            return self._find(pid, maps.read(MAX_MAPS), os.readlink(f"/proc/{pid}/exe".encode()))

    def _find(self, pid: int, maps: bytes, executable: bytes) -> Found | None:
        """Return the first interpreter that a process has, and tell the kernel what its executable tells of others."""
        files = list(mapped_files(pid, maps))
        for language in self._languages:
            with contextlib.suppress(NoPythonError, OSError):
                runtime = WALKED[language].find(pid, files, executable.removesuffix(DELETED))
                if runtime:
                    found = Found(language, runtime)
                    layout = runtime.for_executable()
                    if layout:
                        self._kernel.set_runtime_of_executable(pid, found.for_kernel(layout))
                    return found
        return None

    def drain(self, most: int | None = None) -> None:
        """Take the frames that have arrived, of so many stacks at most, and read the code objects that they are of."""
        for data in islice(self._kernel.walked_rows(), most):
            fields = _ROW_CODEC.read(data)
            row = self._row(fields, data)
            if fields["id"]:
                self._rows[fields["id"]] = row
            if len(self._rows) > tuning.MAX_WAITING_ROWS:
                self._rows.popitem(last=False)

    def join(self, stack: Stack) -> Stack:
        """Return the stack with the frames of its program, if it has some; those that had arrived before it must have
        been taken."""
        # Code objects are there only while their process lives; but a busy kernel adds more than can be read.
        self.drain(tuning.WALKED_ROWS_A_STACK)
        row = self._rows.pop(stack.id, None)
        return self._joined(stack, row)

    def join_waiting(self, stack: Stack, slot: int) -> Stack:
        """Do the same for a stack that waits in a slot, because its call is open; `slot` is 0 if no frames do."""
        data = self._kernel.walked_waiting(slot) if slot else b""
        fields = _ROW_CODEC.read(data) if data else {"taken": 0}
        return self._joined(stack, self._row(fields, data) if fields["taken"] == stack.taken_ns else None)

    def _joined(self, stack: Stack, row: _Row | None) -> Stack:
        key = (stack.pid, stack.process_start_ns)
        if row and (row.key, row.taken_ns) == (key, stack.taken_ns):
            return _with_frames(stack, row.language, row.frames, row.version, row.status)
        found = self._found.get(key)
        if found is None:
            return stack
        return _with_frames(stack, found.language, b"", found.version, found.runtime.unwalked)

    def code_keys(self, stack: Stack) -> Iterator[CodeKey]:
        """Yield the code objects of a stack's frames."""
        return iter(_places((stack.pid, stack.process_start_ns), stack.python or stack.php))

    def _row(self, fields: dict[str, int], data: bytes) -> _Row:
        frames = data[WALKED_ROW.size : WALKED_ROW.size + fields["frames_size"]]
        key = (fields["pid"], fields["process_start"])
        language = _LANGUAGES[fields["language"]]
        row = _Row(key, fields["taken"], language, fields["version"], fields["status"], frames)
        self._read_codes(row)
        return row

    def _read_codes(self, row: _Row) -> None:
        wanted = {key: place for key, place in _places(row.key, row.frames).items() if not self._codes.has(key)}
        if not wanted:
            return
        if row.key not in self._found:  # the kernel knows it by its executable
            with contextlib.suppress(OSError):
                self._learn(row.key, self._find_now(row.key[0]))
        found = self._found.get(row.key)
        if found is None or (found.language, found.version) != (row.language, row.version):
            self._codes.remember(Code(*key, "its process had ended or become another program") for key in wanted)
            return
        try:
            with Memory(row.key[0]) as memory:
                self._codes.remember([_read(memory, found, key, place) for key, place in wanted.items()])
        except OSError:
            self._codes.remember(Code(*key, "its process had ended") for key in wanted)


def _with_frames(stack: Stack, language: str, frames: bytes, version: int, status: int) -> Stack:
    fields: dict[str, Any] = {language: frames, f"{language}_version": version, f"{language}_status": status}
    return replace(stack, **fields)


def _places(key: Key, frames: bytes) -> dict[CodeKey, int]:
    """Return where the code objects of frames are in memory, except of frames that have none."""
    each = _FRAME.iter_unpack(frames[: len(frames) // _FRAME.size * _FRAME.size])
    return {(*key, code, cookie): code or address for address, code, _, cookie, _ in each if cookie}


def _read(memory: Memory, found: Found, key: CodeKey, place: int) -> Code:
    try:
        return WALKED[found.language].read(memory, found.runtime, key, place)
    except ReplacedError:
        return Code(*key, "it had been freed, and another one was in its place")
    except OSError:
        return Code(*key, "its memory had been freed, or its process had ended")


assert _FRAME.size == WALKED_FRAME.size
