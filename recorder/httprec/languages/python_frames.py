"""Join the Python frames that the kernel has walked with their stacks, and write the code objects of these frames.

Each code object is read once, when the first frames with it arrive, and written once for each part of the recording.
The kernel sends frames before their stack, through a ring of their own, and wakes the recorder for frames that it has
not sent before: a process may end soon after a call. Those of a young process it also sends when the call begins.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple, Optional, Protocol

from httpbpf.layout import PYTHON_FRAME, PYTHON_ROW
from httpcapture import MAX_MAPS, Code, Process, PythonStatus, Stack

from .. import tuning
from ..rows import RowCodec
from .known_codes import CodeKey, KnownCodes
from .mapped_files import DELETED, mapped_files
from .memory import Memory
from .python_code import ReplacedError, read_code
from .python_process import NO_PYTHON, NoPythonError, Python, find_python

_ROW_CODEC = RowCodec(PYTHON_ROW)
_FRAME = struct.Struct("<5Q")

Key = tuple[int, int]  # pid, start since boot in ns


class Kernel(Protocol):
    """Define what the kernel takes and gives."""

    def python_rows(self) -> Iterator[bytes]:
        """Yield the rows with Python frames that have arrived."""

    def python_waiting(self, slot: int) -> bytes:
        """Return the row that waits with the stack in a slot."""

    def set_python(self, key: Key, layout: bytes) -> None:
        """Tell the kernel which Python a process has."""

    def set_python_of_executable(self, pid: int, layout: bytes) -> None:
        """Tell the kernel which Python the processes have that run the same executable as a process."""


class _Row(NamedTuple):
    """Hold the Python frames of one stack."""

    key: Key
    taken_ns: int
    version: int
    status: int
    frames: bytes


class PythonFrames:
    """Add Python frames to the stacks of one recording."""

    def __init__(self, codes: KnownCodes, kernel: Kernel) -> None:
        self._codes, self._kernel = codes, kernel
        self.not_read = 0  # the kernel counts them
        self._pythons: OrderedDict[Key, Optional[Python]] = OrderedDict()  # the most recently found last
        self._rows: OrderedDict[int, _Row] = OrderedDict()  # by id of the stack that they wait for

    def look_around(self) -> None:
        """Look for Python in all processes, so that the first calls of those that start later are known by their
        executables."""
        seen = set()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                status = os.stat(f"/proc/{pid}/exe")
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    self._find_now(int(pid))

    def look_at(self, process: Process) -> None:
        """Look for Python in a process whose maps were read just now, and tell the kernel what there is."""
        key = (process.pid, process.start_ns)
        self._learn(key, *self._find(process.pid, process.maps, process.executable))

    def _learn(self, key: Key, found: Python | None, layout: bytes) -> None:
        with contextlib.suppress(OSError):  # the kernel has no memory
            self._kernel.set_python(key, layout)
        self._pythons[key] = found
        self._pythons.move_to_end(key)
        if len(self._pythons) > tuning.MAX_KNOWN_PROCESSES:
            self._pythons.popitem(last=False)

    def _find_now(self, pid: int) -> tuple[Python | None, bytes]:
        """Do the same as `_find` by what /proc says now. Raises OSError if the process has ended."""
        with open(f"/proc/{pid}/maps", "rb") as maps:
            return self._find(pid, maps.read(MAX_MAPS), os.readlink(f"/proc/{pid}/exe".encode()))

    def _find(self, pid: int, maps: bytes, executable: bytes) -> tuple[Python | None, bytes]:
        """Return the Python of a process, and what the kernel is to know of it."""
        try:
            found = find_python(pid, mapped_files(pid, maps), executable.removesuffix(DELETED))
            layout = found.for_kernel() if found else NO_PYTHON
            if found:
                self._kernel.set_python_of_executable(pid, found.for_kernel(with_addresses=False))
            return found, layout
        except (NoPythonError, OSError):
            return None, NO_PYTHON

    def drain(self) -> None:
        """Take the frames that have arrived, and read the code objects that they are of."""
        for data in self._kernel.python_rows():
            fields = _ROW_CODEC.read(data)
            row = self._row(fields, data)
            if fields["id"]:
                self._rows[fields["id"]] = row
            if len(self._rows) > tuning.MAX_WAITING_PYTHON_ROWS:
                self._rows.popitem(last=False)

    def join(self, stack: Stack) -> Stack:
        """Return the stack with its Python frames, if it has some."""
        self.drain()  # at each stack, since the code objects of a process are there only while it lives
        row = self._rows.pop(stack.id, None)
        return self._joined(stack, row)

    def join_waiting(self, stack: Stack, slot: int) -> Stack:
        """Do the same for a stack that waits in a slot, because its call is open; `slot` is 0 if no frames do."""
        data = self._kernel.python_waiting(slot) if slot else b""
        fields = _ROW_CODEC.read(data) if data else {"taken": 0}
        return self._joined(stack, self._row(fields, data) if fields["taken"] == stack.taken_ns else None)

    def _joined(self, stack: Stack, row: _Row | None) -> Stack:
        key = (stack.pid, stack.process_start_ns)
        if row and (row.key, row.taken_ns) == (key, stack.taken_ns):
            return replace(stack, python=row.frames, python_version=row.version, python_status=row.status)
        python = self._pythons.get(key)
        if python is None:
            return stack
        return replace(stack, python_version=_number(python), python_status=PythonStatus.NOT_WALKED)

    def code_keys(self, stack: Stack) -> Iterator[CodeKey]:
        """Yield the code objects of a stack's frames."""
        return _code_keys((stack.pid, stack.process_start_ns), stack.python)

    def _row(self, fields: dict[str, int], data: bytes) -> _Row:
        frames = data[PYTHON_ROW.size : PYTHON_ROW.size + fields["frames_size"]]
        key = (fields["pid"], fields["process_start"])
        row = _Row(key, fields["taken"], fields["version"], fields["status"], frames)
        self._read_codes(row)
        return row

    def _read_codes(self, row: _Row) -> None:
        wanted = [key for key in _code_keys(row.key, row.frames) if not self._codes.has(key)]
        if not wanted:
            return
        if row.key not in self._pythons:  # the kernel knows it by its executable
            with contextlib.suppress(OSError):
                self._learn(row.key, *self._find_now(row.key[0]))
        python = self._pythons.get(row.key)
        if python is None or _number(python) != row.version:
            self._codes.remember(Code(*key, "its process had ended or become another program") for key in wanted)
            return
        try:
            with Memory(row.key[0]) as memory:
                self._codes.remember([_read(memory, python, key) for key in wanted])
        except OSError:
            self._codes.remember(Code(*key, "its process had ended") for key in wanted)


def _number(python: Python) -> int:
    """Return its version as in python_row, python_rows.h."""
    major, minor = python.version[:2]
    return major << 8 | minor


def _code_keys(key: Key, frames: bytes) -> Iterator[CodeKey]:
    """Yield the code objects of frames, each once; not those of frames that have none."""
    seen = dict.fromkeys(
        (code, cookie)
        for _, code, _, cookie, _ in _FRAME.iter_unpack(frames[: len(frames) // _FRAME.size * _FRAME.size])
    )
    yield from ((*key, code, cookie) for code, cookie in seen if cookie)


def _read(memory: Memory, python: Python, key: CodeKey) -> Code:
    try:
        found = read_code(memory, python, *key[2:])
    except ReplacedError:
        return Code(*key, "it had been freed, and another one was in its place")
    except OSError:
        return Code(*key, "its memory had been freed, or its process had ended")
    return Code(
        *key,
        "",
        name=found.title.characters,
        name_width=found.title.width,
        filename=found.filename.characters,
        filename_width=found.filename.width,
        first_line=found.first_line,
        table=found.table,
        bytecode=found.bytecode,
        bytecode_size=found.bytecode_size,
        first_traceable=found.first_traceable,
    )


assert _FRAME.size == PYTHON_FRAME.size
