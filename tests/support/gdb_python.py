"""Let gdb say which frames a Python program has where it sends: native ones, and Python's in the places where CPython's
own extension of gdb finds them. Debian has that extension, and the debug information, in the package python3-dbg."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Union

from workload.waiting import HANG_S

Merged = list[Union[int, list[object]]]
"""The address of each native frame, and [function, file, line] of each Python frame, leaf first."""

# Defines merged(), which yields what is told of a send, leaf first.
PYTHON = """
def merged():
    frame = Frame(gdb.newest_frame())  # of CPython's extension, as is all that knows Python
    while frame:
        if frame.is_evalframe():
            yield from python_frames(frame.get_pyop())
        if frame._gdbframe.type() != gdb.INLINE_FRAME:
            yield frame._gdbframe.pc()
        frame = frame.older()

def python_frames(frame):
    while frame:
        yield [frame.co_name.proxyval(set()), frame.co_filename.proxyval(set()), frame.current_line_num()]
        frame = None if frame.is_entry() else frame.previous()
"""

# Stops at each send, until the program writes to its standard output. At the entry of a system call rax is -ENOSYS.
_SENDS = """
import gdb, json

SENDTO, WRITE, ENOSYS = 44, 1, 38

def register(name):
    return int(gdb.selected_frame().read_register(name))

gdb.execute("catch syscall sendto write", to_string=True)
print("attached", flush=True)
while True:
    gdb.execute("continue", to_string=True)
    if register("rax") != -ENOSYS:
        continue
    if register("orig_rax") == SENDTO:
        request = gdb.selected_inferior().read_memory(register("rsi"), 8).tobytes().decode()
        print("SENDS" + json.dumps([request, list(merged())]), flush=True)
    elif register("rdi") == 1:
        break
"""


@contextmanager
def watched(pid: int, found: dict[str, Merged], merged: str = PYTHON) -> Iterator[None]:
    """Attach gdb to a process during the block, in which the process must write to its standard output. Then fill
    `found` with the frames of each send, by the first 8 bytes that were sent; `merged` is the source of what tells
    them."""
    whole = ["-ex", "set backtrace past-main on", "-ex", "set backtrace past-entry on"]
    command = ["gdb", "-nx", "-q", "-batch", *whole, "-p", str(pid), "-ex", f"python exec({merged + _SENDS!r})"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as gdb:
        assert gdb.stdout
        before = list(iter(gdb.stdout.readline, "attached\n")) if gdb.poll() is None else []
        yield
        lines = gdb.communicate(timeout=HANG_S)[0].splitlines()
    found |= (json.loads(line[len("SENDS") :]) for line in lines if line.startswith("SENDS"))
    assert found, "\n".join([*before, *lines])


def is_installed(python: str) -> bool:
    """Return whether gdb loads CPython's extension for an interpreter by itself."""
    return Path(f"/usr/share/gdb/auto-load{Path(python).resolve()}-gdb.py").is_file()
