"""Read the functions of JavaScript frames when a stack of a process with V8 arrives.

The frames are in the copy of the stack. What is read of each function again at every stack proves that it is the one
of the frame (v8_functions.py); the rest is read once.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Optional

from httpcapture import MAX_MAPS, Code, Process, Stack

from .. import tuning
from .known_codes import CodeKey, KnownCodes
from .mapped_files import DELETED, mapped_files
from .memory import Memory, Pages
from .v8_evidence import Evidence
from .v8_functions import Frame, Function, Lines, Proof, Scripts, offset_of, proven
from .v8_heap import Heap, MovedError
from .v8_newest import newest_script
from .v8_process import V8, NoV8Error, find_v8
from .v8_scripts import KnownFunctions
from .v8_stack import frames_in

_FRAME = struct.Struct("<4Q")  # address, code, instruction, cookie

Key = tuple[int, int]  # pid, start since boot in ns


class V8Frames:
    """Add JavaScript frames to the stacks of one recording."""

    def __init__(self, codes: KnownCodes) -> None:
        self._codes = codes
        self._v8s: OrderedDict[Key, Optional[V8]] = OrderedDict()  # the most recently found last
        self._functions = KnownFunctions()
        self._evidence = Evidence()
        self._scripts = Scripts()
        self._searched: OrderedDict[Key, float] = OrderedDict()  # when; the most recently searched last
        self._second, self._spent = 0.0, 0.0  # when this second began, and seconds of it
        self.not_read = 0  # stacks whose frames were left out, since reading took too long

    def look_around(self) -> None:
        """Do nothing: the kernel need not know of any process."""

    def look_at(self, process: Process) -> None:
        """Look for V8 in a process whose maps were read just now."""
        self._learn((process.pid, process.start_ns), process.maps, process.executable)

    def drain(self) -> None:
        """Do nothing: the kernel sends nothing but the stacks."""

    def join(self, stack: Stack) -> Stack:
        """Return the stack with its JavaScript frames, if it has some."""
        if not stack.memory:
            return stack
        key = stack.pid, stack.process_start_ns
        v8 = self._v8(key)
        if v8 is None:
            return stack
        if self._is_busy():
            self.not_read += 1
            return stack
        began = time.thread_time()
        joined = self._joined(stack, key, v8)
        self._spent += time.thread_time() - began
        return joined

    def _is_busy(self) -> bool:
        """Return whether reading has taken its share of this second."""
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._spent = now, 0.0
        return self._spent >= tuning.V8_SHARE

    def _joined(self, stack: Stack, key: Key, v8: V8) -> Stack:
        frames = list(frames_in(stack.memory, stack.memory_address, v8.layout))
        with contextlib.suppress(OSError), Memory(stack.pid) as memory:
            first, second = (Heap(Pages(memory), v8.layout) for _ in range(2))
            found = [self._proof(first, key, frame) for frame in frames]  # and again: the process goes on meanwhile
            again = [proof and self._proof(second, key, frame) for proof, frame in zip(found, frames)]
            each = (one if one == other else None for one, other in zip(found, again))
            packed = b"".join(self._frame(second, key, *both, stack.taken_ns) for both in zip(frames, each))
            self._see_newest(memory, key, found)
            return replace(stack, v8=packed, v8_version=v8.version[0] << 8 | v8.version[1])
        return stack

    def join_waiting(self, stack: Stack, _slot: int) -> Stack:
        """Do the same for a stack that waits in a slot of the kernel."""
        return self.join(stack)

    def code_keys(self, stack: Stack) -> Iterator[CodeKey]:
        """Yield the functions of a stack's frames."""
        key = stack.pid, stack.process_start_ns
        yield from dict.fromkeys((*key, code, cookie) for _, code, _, cookie in _FRAME.iter_unpack(stack.v8) if cookie)

    def _v8(self, key: Key) -> V8 | None:
        if key not in self._v8s:
            with contextlib.suppress(OSError), open(f"/proc/{key[0]}/maps", "rb") as maps:
                self._learn(key, maps.read(MAX_MAPS), os.readlink(f"/proc/{key[0]}/exe".encode()))
        return self._v8s.get(key)

    def _learn(self, key: Key, maps: bytes, executable: bytes) -> None:
        found = None
        with contextlib.suppress(NoV8Error, OSError):
            found = find_v8(key[0], mapped_files(key[0], maps), executable.removesuffix(DELETED))
        self._v8s[key] = found
        self._v8s.move_to_end(key)
        if len(self._v8s) > tuning.MAX_KNOWN_PROCESSES:
            self._v8s.popitem(last=False)

    def _proof(self, heap: Heap, key: Key, frame: Frame) -> Proof | None:
        """Return the function that a frame has something in common with, None if there is none."""
        with contextlib.suppress(OSError, MovedError):
            return proven(heap, frame)
        with contextlib.suppress(OSError, MovedError):
            shared = self._functions.of(heap, key, frame.bytecode)
            return proven(heap, frame, shared) if shared else None
        return None

    def _frame(self, heap: Heap, key: Key, frame: Frame, proof: Proof | None, taken_ns: int) -> bytes:
        """Return a frame as it is recorded; without a code object if nothing proves its function."""
        instruction = offset_of(heap, frame)
        if proof is None or instruction is None or not self._is_as_old(key, proof, taken_ns):
            return _FRAME.pack(frame.address, 0, 0, 0)
        return _FRAME.pack(frame.address, proof.function.shared, instruction, self._known(heap, key, proof.function))

    def _see_newest(self, memory: Memory, key: Key, found: Sequence[Proof | None]) -> None:
        """See which scripts there are by now, from time to time: functions of these are older than later stacks."""
        now = time.monotonic()
        script = next((proof.function.script for proof in found if proof), None)
        if script is None or now - self._searched.get(key, -tuning.SEARCH_NEWEST_S) < tuning.SEARCH_NEWEST_S:
            return
        self._searched[key] = now
        self._searched.move_to_end(key)
        if len(self._searched) > tuning.MAX_KNOWN_PROCESSES:
            self._searched.popitem(last=False)
        with contextlib.suppress(OSError), open(f"/proc/{key[0]}/maps", "rb") as maps:
            newest = newest_script(memory, maps.read(MAX_MAPS), script)
            self._evidence.saw_script(key, newest, time.monotonic_ns())

    def _is_as_old(self, key: Key, proof: Proof, taken_ns: int) -> bool:
        """Return whether a function was there when the stack was taken, and remember that it is there now."""
        function, address = proof
        self._functions.add(key, function)
        read = key, address, function.cookie, function.script_id
        is_as_old = self._evidence.is_as_old(*read, taken_ns, is_file=bool(function.filename.characters))
        self._evidence.add(*read, time.monotonic_ns())
        return is_as_old

    def _known(self, heap: Heap, key: Key, function: Function) -> int:
        """Return the cookie of a function, which is known from now on."""
        cookie = function.cookie
        if not self._codes.has((*key, function.shared, cookie)):
            try:
                lines = self._scripts.lines(heap, key, function)
            except (OSError, MovedError):
                lines = Lines(0, b"", b"")
            self._codes.remember([_code(key, function, cookie, lines)])
        return cookie


def _code(key: Key, function: Function, cookie: int, lines: Lines) -> Code:
    return Code(
        *key,
        function.shared,
        cookie,
        "",
        name=function.name.characters,
        name_width=function.name.width,
        filename=function.filename.characters,
        filename_width=function.filename.width,
        first_line=lines.first,
        table=lines.table,
        position=function.start,
        line_ends=lines.ends,
    )
