"""Copy perf-PID.map, in which a just-in-time compiler names its code, from the process's own /tmp as it grows.

A file is opened when its process is first recorded or seen to have code without a file, and kept open: it can be read
after the process has ended, too. What it has more than before is copied when a stack is new, so that the capture says
which names were there before the stack, and at the end of a capture. A compiler adds lines only; a file that does not
begin as it did is another text.

The process wrote the file, so it is not trusted: no link is followed, and it must be a regular file that belongs to the
process's user, as perf also requires.
"""

from __future__ import annotations

import os
import stat
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from httpcapture import MAX_JIT_MAP, MAX_PART, BeyondLimitError, JitMap, Writer

from . import tuning

NO_ROOM = "left out: the capture's room for JIT maps is used up"
ENDED = "its process had ended"
_COMPARED = 64  # bytes before the end of what was read: if they are others, the file is another text

Key = tuple[int, int]  # pid, start since boot in ns


def open_jit_map(pid: int, namespace_pid: int) -> int:
    """Return a descriptor of the map of a process, of which `pid` is a thread. Raises OSError if there is none, or if
    it is not trusted."""
    folders = [f"/proc/{pid}/root", "tmp"]
    opened = [os.open(folders[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        follow_nothing = os.O_NOFOLLOW | os.O_CLOEXEC
        opened.append(os.open(folders[1], os.O_PATH | os.O_DIRECTORY | follow_nothing, dir_fd=opened[0]))
        fd = os.open(f"perf-{namespace_pid}.map", os.O_RDONLY | os.O_NONBLOCK | follow_nothing, dir_fd=opened[1])
    finally:
        for folder in opened:
            os.close(folder)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.stat(f"/proc/{pid}").st_uid:
        return fd
    os.close(fd)
    raise OSError(0, "is not trusted")


@dataclass
class _Text:
    """Hold how far the text of one process has been copied into this part of the recording."""

    fd: int
    taken_ns: int = 0  # when its first part was read, which tells it from others of the process; 0: not begun
    size: int = 0  # bytes copied
    last: bytes = b""  # the last ones of these
    is_cut: bool = False  # nothing more is copied

    @property
    def is_another(self) -> bool:
        """Return whether the file no longer begins with what was copied."""
        start = self.size - len(self.last)
        return os.pread(self.fd, len(self.last), start) != self.last


class JitMaps:
    """Keep the maps of processes open, and copy what they have more than before."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._texts: OrderedDict[Key, _Text] = OrderedDict()  # the most recently used last
        self._budget_left = tuning.JIT_MAPS_BUDGET

    def begin_part(self, writer: Writer) -> None:
        """Begin another capture, which needs all of the text of its own processes."""
        self._writer = writer
        self._budget_left = tuning.JIT_MAPS_BUDGET
        for key, text in self._texts.items():
            self._texts[key] = _Text(text.fd)

    def has(self, key: Key) -> bool:
        """Return whether the map of a process is open."""
        return key in self._texts

    def open(self, key: Key, thread: int, namespace_pid: int) -> None:
        """Open the map of a process, of which a thread runs, if there is one that is not open yet."""
        try:
            fd = open_jit_map(thread, namespace_pid)
        except OSError:
            return
        known = self._texts.get(key)
        if known and os.path.sameopenfile(known.fd, fd):
            os.close(fd)
            return
        if known:
            os.close(known.fd)
        self._texts[key] = _Text(fd)
        self._texts.move_to_end(key)
        if len(self._texts) > tuning.MAX_OPEN_JIT_MAPS:
            _, oldest = self._texts.popitem(last=False)
            os.close(oldest.fd)

    def copy(self, key: Key, now_ns: int) -> None:
        """Write what the map of a process has more than the capture."""
        text = self._texts.get(key)
        if text is None:
            return
        self._texts.move_to_end(key)
        try:
            if text.size and text.is_another:
                text = self._texts[key] = _Text(text.fd)
            if not text.is_cut:
                self._copy(key, text, now_ns)
        except OSError:
            return

    def _copy(self, key: Key, text: _Text, now_ns: int) -> None:
        """Raises OSError."""
        text.taken_ns = text.taken_ns or now_ns
        for start, data, problem in self._parts(text, os.fstat(text.fd).st_size):
            pid, start_ns = key
            try:
                self._writer.jit_map(JitMap(pid, start_ns, text.taken_ns, start, data, problem, time.monotonic_ns()))
            except BeyondLimitError:
                text.is_cut = True
                return
            text.size, text.last = start + len(data), (text.last + data)[-_COMPARED:]
            text.is_cut = bool(problem)

    def _parts(self, text: _Text, size: int) -> Iterator[tuple[int, bytes, str]]:
        """Yield the parts of a text of a size from where it was copied to; for what has no room, the reason."""
        for start in range(text.size, min(size, MAX_JIT_MAP), MAX_PART):
            data = os.pread(text.fd, min(MAX_PART, size - start, MAX_JIT_MAP - start), start)
            if len(data) > self._budget_left:
                yield start, b"", NO_ROOM
                return
            self._budget_left -= len(data)
            yield start, data, ""
        if size > MAX_JIT_MAP:
            yield MAX_JIT_MAP, b"", f"cut off at {MAX_JIT_MAP} bytes"
