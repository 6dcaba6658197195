"""Copy the JIT maps of processes, in which just-in-time compilers name their code, as they grow.

That is a perf-PID.map, or a jit-PID.dump where there is none, which is copied as the same lines. A file is opened when
its process is first recorded or seen to have code without a file, and kept open: it can be read after the process has
ended, too. What it has more than before is copied when a stack is new, so that the capture says which names were there
before the stack, and at the end of a capture.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Union

from httpcapture import MAX_JIT_MAP, MAX_PART, BeyondLimitError, JitMap, Writer

from . import tuning
from .jit_dump import JitDump, open_jit_dump
from .perf_map import PerfMap, open_perf_map

NO_ROOM = "left out: the capture's room for JIT maps is used up"

Key = tuple[int, int]  # pid, start since boot in ns
Code = Iterable[tuple[bytes, bytes, bytes, bytes]]  # executable mappings: start, end, inode, path


def _open(pid: int, namespace_pid: int, code: Code) -> Union[PerfMap, JitDump]:
    """Return what names the code of a process. Raises OSError if there is nothing."""
    try:
        return PerfMap(open_perf_map(pid, namespace_pid))
    except OSError:
        return JitDump(open_jit_dump(pid, namespace_pid, code))


@dataclass
class _Text:
    """Hold how far the text of one process has been copied into this part of the recording."""

    source: Union[PerfMap, JitDump]
    taken_ns: int = 0  # when its first part was read, which tells it from others of the process; 0: not begun
    size: int = 0  # bytes copied
    is_cut: bool = False  # nothing more is copied


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
            self._texts[key] = _Text(text.source.again())

    def has(self, key: Key) -> bool:
        """Return whether the map of a process is open."""
        return key in self._texts

    def open(self, key: Key, thread: int, namespace_pid: int, code: Code = ()) -> None:
        """Open the map of a process, of which a thread runs and which has mapped `code`, if there is one that is not
        open yet."""
        try:
            source = _open(thread, namespace_pid, code)
        except OSError:
            return
        known = self._texts.get(key)
        if known and os.path.sameopenfile(known.source.fd, source.fd):
            os.close(source.fd)
            return
        if known:
            os.close(known.source.fd)
        self._texts[key] = _Text(source)
        self._texts.move_to_end(key)
        if len(self._texts) > tuning.MAX_OPEN_JIT_MAPS:
            _, oldest = self._texts.popitem(last=False)
            os.close(oldest.source.fd)

    def copy(self, key: Key, now_ns: int) -> None:
        """Write what the map of a process has more than the capture."""
        text = self._texts.get(key)
        if text is None:
            return
        self._texts.move_to_end(key)
        try:
            if text.source.is_another():
                text = self._texts[key] = _Text(text.source.again())
            if not text.is_cut:
                self._copy(key, text, now_ns)
        except OSError:
            return

    def _copy(self, key: Key, text: _Text, now_ns: int) -> None:
        """Raises OSError."""
        text.taken_ns = text.taken_ns or now_ns
        for data, problem in self._parts(text):
            pid, start_ns = key
            part = JitMap(pid, start_ns, text.taken_ns, text.size, data, problem, time.monotonic_ns())
            try:
                self._writer.jit_map(part)
            except BeyondLimitError:
                text.is_cut = True
                return
            text.size += len(data)
            text.is_cut = bool(problem)

    def _parts(self, text: _Text) -> Iterator[tuple[bytes, str]]:
        """Yield what a text has more than before; where it is cut off, the reason. Raises OSError."""
        while data := text.source.read(MAX_PART):
            if len(data) > self._budget_left:
                yield b"", NO_ROOM
                return
            whole, data = len(data), data[: MAX_JIT_MAP - text.size]
            self._budget_left -= len(data)
            if data:
                yield data, ""
            if len(data) < whole:
                yield b"", f"cut off at {MAX_JIT_MAP} bytes"
                return
        if text.source.problem:
            yield b"", text.source.problem
