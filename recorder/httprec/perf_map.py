"""Read /tmp/perf-PID.map, in which a just-in-time compiler names its code: lines of `START SIZE name`.

The process wrote the file, so it is not trusted: no link is followed, and it must be a regular file that belongs to the
process's user, as perf also requires.

Format: tools/perf/Documentation/jit-interface.txt of the kernel.
"""

from __future__ import annotations

import os
import stat

_COMPARED = 64  # bytes before the end of what was read: if they are others, the file is another text


class PerfMap:
    """Read what a perf-PID.map has more than before. Lines are only ever added; a file that does not begin as it did is
    another text."""

    problem = ""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._read = 0  # bytes
        self._last = b""  # the last ones of these

    def is_another(self) -> bool:
        """Return whether the file no longer begins with what was read. Raises OSError."""
        return os.pread(self.fd, len(self._last), self._read - len(self._last)) != self._last

    def read(self, limit: int) -> bytes:
        """Return what follows in the file, at most `limit` bytes. Raises OSError."""
        data = os.pread(self.fd, limit, self._read)
        self._read += len(data)
        self._last = (self._last + data)[-_COMPARED:]
        return data

    def again(self) -> PerfMap:
        """Return the same file, to be read from its beginning."""
        return PerfMap(self.fd)


def open_perf_map(pid: int, namespace_pid: int) -> int:
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
    return trusted(fd, pid)


def trusted(fd: int, pid: int) -> int:
    """Return the descriptor of a regular file that belongs to the user of a process. Raises OSError, and closes it, if
    it is none."""
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.stat(f"/proc/{pid}").st_uid:
        return fd
    os.close(fd)
    raise OSError(0, "is not trusted")
