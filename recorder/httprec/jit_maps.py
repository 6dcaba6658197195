"""Read perf-PID.map, in which a just-in-time compiler names its code, from the process's own /tmp.

The process wrote the file, so it is not trusted: no link is followed, and it must be a regular file that belongs to the
process's user, as perf also requires.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from httpcapture import MAX_JIT_MAP, MAX_PART


def _open(pid: int, namespace_pid: int) -> int:
    folders = [f"/proc/{pid}/root", "tmp"]
    opened = [os.open(folders[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        follow_nothing = os.O_NOFOLLOW | os.O_CLOEXEC
        opened.append(os.open(folders[1], os.O_PATH | os.O_DIRECTORY | follow_nothing, dir_fd=opened[0]))
        return os.open(f"perf-{namespace_pid}.map", os.O_RDONLY | os.O_NONBLOCK | follow_nothing, dir_fd=opened[1])
    finally:
        for fd in opened:
            os.close(fd)


def read_jit_map(pid: int, namespace_pid: int) -> Iterator[tuple[int, bytes, str]]:
    """Yield each part of the file: its offset, its bytes, and why the bytes after it are missing. Yield nothing if the
    file does not exist or is not trusted."""
    try:
        fd = _open(pid, namespace_pid)
    except OSError:
        return
    try:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.stat(f"/proc/{pid}").st_uid:
            size = min(status.st_size, MAX_JIT_MAP)
            for start in range(0, size, MAX_PART):
                is_cut = size - start <= MAX_PART and size < status.st_size
                yield start, os.pread(fd, MAX_PART, start), f"cut off at {size} bytes" if is_cut else ""
    except OSError:
        return
    finally:
        os.close(fd)
