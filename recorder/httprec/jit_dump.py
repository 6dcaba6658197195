"""Read jit-PID.dump, in which a just-in-time compiler names its code, as the lines of a perf-PID.map.

A process that writes such a file maps its first page as executable: that is how perf finds it, wherever it is, and so
do we. Only the file of the process's own number counts, since a child inherits the mapping but not the code that its
parent makes from then on.

Of the records only those that load code are kept, as a line; the code itself, its source lines and its unwind
information are skipped. Code that was moved has no name from then on: its line has none.

The file is untrusted input. Format: tools/perf/Documentation/jitdump-specification.txt of the kernel.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import Optional

from . import tuning
from .perf_map import trusted

DAMAGED = "its jit-PID.dump is damaged"
TOO_MANY_RECORDS = "its jit-PID.dump has more records than are read"

MAGIC = 0x4A695444
_HEADER = struct.Struct("<IIIIIIQQ")  # magic, version, size of the header, machine, padding, pid, time, flags
_RECORD = struct.Struct("<IIQ")  # id, size, time
_LOAD = struct.Struct("<IIQQQQ")  # pid, tid, vma, address of the code, its size, index; then name, zero, code
_MOVE = struct.Struct("<IIQQQQQ")  # pid, tid, vma, old address, new address, size, index
_CODE_LOAD, _CODE_MOVE = 0, 1
_MAX_HEADER = 1 << 12
_MAX_NAME = 1 << 12
_WINDOW = 1 << 16  # bytes that are read at a time; more than all that a record needs


class JitDump:
    """Read the lines for what a jit-PID.dump has more than before. `problem` says why nothing more is read."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.problem = ""
        self._offset = 0  # of the next record
        self._header = b""
        self._records = 0
        self._window, self._window_start = b"", 0

    def is_another(self) -> bool:
        """Return whether the file no longer begins with what was read. Raises OSError."""
        return os.pread(self.fd, len(self._header), 0) != self._header or os.fstat(self.fd).st_size < self._offset

    def read(self, limit: int) -> bytes:
        """Return the lines for the records that follow and are whole, at most `limit` bytes. Raises OSError."""
        size = os.fstat(self.fd).st_size
        self._window = b""  # as it was before
        if not self._header and not self._read_header(size):
            return b""
        lines, room = [], limit - _MAX_NAME - 64
        while room > 0 and not self.problem:
            line = self._next_line(size)
            if line is None:
                break
            lines.append(line)
            room -= len(line)
        return b"".join(lines)

    def again(self) -> JitDump:
        """Return the same file, to be read from its beginning."""
        return JitDump(self.fd)

    def _read_header(self, size: int) -> bool:
        """Return whether the header is whole and right."""
        data = self._at(0, _HEADER.size)
        if len(data) < _HEADER.size:
            return False
        magic, version, header_size = struct.unpack_from("<III", data)
        if magic != MAGIC or version != 1 or not _HEADER.size <= header_size <= _MAX_HEADER:
            self.problem = DAMAGED
            return False
        self._header, self._offset = data, header_size
        return int(header_size) <= size

    def _next_line(self, size: int) -> Optional[bytes]:
        """Return the line for the next record, which may be empty; None if it is not whole."""
        head = self._at(self._offset, _RECORD.size)
        if len(head) < _RECORD.size:
            return None
        kind, length, _ = _RECORD.unpack(head)
        end = self._offset + length
        if length < _RECORD.size:
            self.problem = DAMAGED
        elif self._records == tuning.MAX_JIT_DUMP_RECORDS:
            self.problem = TOO_MANY_RECORDS
        elif end <= size:
            line = self._line(kind, self._offset + _RECORD.size, length - _RECORD.size)
            self._offset = end
            self._records += 1
            return line
        return None

    def _line(self, kind: int, offset: int, length: int) -> bytes:
        if kind == _CODE_LOAD and length > _LOAD.size:
            body = self._at(offset, min(length, _LOAD.size + _MAX_NAME)).ljust(_LOAD.size, b"\0")
            *_, address, size, _ = _LOAD.unpack_from(body)
            return b"%x %x %s\n" % (address, size, body[_LOAD.size :].partition(b"\0")[0].replace(b"\n", b" "))
        if kind == _CODE_MOVE and length >= _MOVE.size:
            *_, address, size, _ = _MOVE.unpack(self._at(offset, _MOVE.size).ljust(_MOVE.size, b"\0"))
            return b"%x %x \n" % (address, size)
        return b""

    def _at(self, offset: int, length: int) -> bytes:
        """Return bytes of the file, fewer at its end."""
        start = offset - self._window_start
        if not self._window or start < 0 or start + length > len(self._window):
            self._window, self._window_start, start = os.pread(self.fd, _WINDOW, offset), offset, 0
        return self._window[start : start + length]


def open_jit_dump(pid: int, namespace_pid: int, code: Iterable[tuple[bytes, bytes, bytes, bytes]]) -> int:
    """Return a descriptor of the dump of a process, of which `pid` is a thread and `code` the executable mappings:
    start, end, inode, path. Raises OSError if there is none, or if it is not trusted."""
    name = b"/jit-%d.dump" % namespace_pid
    for low, high, _, path in code:
        if path.removesuffix(b" (deleted)").endswith(name):
            link = f"/proc/{pid}/map_files/{int(low, 16):x}-{int(high, 16):x}"
            return trusted(os.open(link, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), pid)
    raise FileNotFoundError(f"process {pid} has mapped no jit-{namespace_pid}.dump")
