"""Reduce stacks to the addresses of their frames, and find the mappings, modules and functions that these are in.

A frame outside any mapping may be any word of the stack, so its address is masked by one that is outside any mapping
too.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from httpcapture import UNWOUND_WHOLE, Stack

from ..calls.process_keys import ProcessKey
from ..capture.recording import Recording
from ..common import tuning
from ..symbols.readings import Place
from ..symbols.symbolizer import Symbolizer
from .codes import RedactedCodes
from .javascript_frames import redacted_javascript
from .php_frames import redacted_php
from .python_frames import redacted_python

NO_ADDRESS = 1 << 63  # above the user space of every 64-bit processor


class RedactedStacks:
    """Hold the redacted stacks of a recording, and what their frames are in."""

    def __init__(self, recording: Recording, symbolizer: Symbolizer) -> None:
        self.mappings: defaultdict[tuple[ProcessKey, int], set[int]] = defaultdict(set)
        """The starts of mappings, by process and number of its record."""
        self.modules: set[int] = set()
        """The ids of modules."""
        self.code: defaultdict[int, set[int]] = defaultdict(set)
        """Offsets in their files of the code of modules, by id."""
        self.addresses: defaultdict[ProcessKey, set[int]] = defaultdict(set)
        """Addresses of code, which JIT maps may name."""
        self.copied = 0
        """Bytes of stacks and registers that are left out."""
        self.copies = 0
        """How many stacks had such bytes."""
        self.left_out = 0
        """How many stacks are left out beyond tuning.MAX_HELD_BYTES."""
        self.codes = RedactedCodes(recording)
        """The code objects of frames of programs."""
        self._recording = recording
        self._masks: dict[int, int] = {}
        self._meta = recording.meta
        self._symbolizer = symbolizer
        self.redacted: list[Stack] = []  # held until the modules of their frames are written
        held = 0
        for stack in recording.stacks:
            if held >= tuning.MAX_HELD_BYTES:
                self.left_out += 1
                continue
            self.redacted.append(self._redacted(stack))
            held += len(self.redacted[-1].frames) + tuning.RECORD_OVERHEAD
        again = recording.stacks.ambiguous
        self.redacted += [replace(stack, copied=stack.copied ^ 1) for stack in self.redacted if stack.id in again]

    @property
    def masked(self) -> int:
        """Return how many distinct addresses outside any mapping have been masked."""
        return len(self._masks)

    def _redacted(self, stack: Stack) -> Stack:
        walked, where = self._symbolizer.walk(stack)
        process = ProcessKey.of(self._meta, stack.pid, stack.process_start_ns)
        each = zip(walked.addresses, walked.inside)
        frames = [self._frame(process, where, address, inside) for address, inside in each]
        frames += [NO_ADDRESS] * walked.left_out
        why = walked.incomplete.name.lower() if walked.incomplete else UNWOUND_WHOLE
        self.copies += bool(stack.registers or stack.memory)
        self.copied += len(stack.registers) + len(stack.memory)
        return replace(
            stack,
            python=redacted_python(self._recording, self.codes, stack, walked.depths),
            php=redacted_php(self._recording, self.codes, stack),
            v8=redacted_javascript(self._recording, self.codes, stack, walked.depths),
            frames=np.array(frames, "<u8").tobytes(),
            registers=b"",
            memory_address=0,
            memory=b"",
            missing_pages=0,
            end=why,
            found=bytes(walked.found),
            copied=walked.copied,
            maps=where.maps.number if where else 0,
            other_maps=where.other.number if where and where.other else 0,
        )

    def _frame(self, process: ProcessKey, where: Place | None, address: int, inside: int) -> int:
        """Return the address of a frame, or its mask."""
        is_mapped = False
        for one in filter(None, where or ()):
            mapping = one.maps.find(inside)
            if mapping is None:
                continue
            is_mapped = True
            self.mappings[process, one.number].add(mapping.start)
            module = one.modules.get(mapping.start)
            if module is not None:
                self.modules.add(module)
                self.code[module].add(mapping.file_offset(inside))
            self.addresses[process].add(inside)
        return address if is_mapped else NO_ADDRESS + self._masks.setdefault(address, len(self._masks) + 1)
