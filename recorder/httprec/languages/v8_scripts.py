"""Find functions by their bytecode: a closure moves in memory soon after it was made, its bytecode hardly ever.

A script lists what its closures share. The scripts of functions that were proven before are known.
Source: src/objects of V8: script.tq (shared_function_infos), fixed-array.tq (WeakFixedArray).
"""

from __future__ import annotations

import struct
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import suppress
from itertools import groupby, islice
from typing import TypeVar

from .. import tuning
from .v8_functions import Function, bytecode_of
from .v8_heap import Heap, MovedError, smi
from .v8_layouts import SCRIPT_FUNCTIONS, SHARED_DATA

_Value = TypeVar("_Value")

_WORD = 8
_ELEMENTS = 16
_PAGE = 1 << 18  # of V8's heap


class KnownFunctions:
    """Remember what was proven of the functions of all processes. The most recently used ones are kept."""

    def __init__(self) -> None:
        self._shared: OrderedDict[tuple[Hashable, int], int] = OrderedDict()  # by process and bytecode
        self._scripts: OrderedDict[tuple[Hashable, int], float] = OrderedDict()  # when they were last listed

    def add(self, process: Hashable, function: Function) -> None:
        """Remember a function and its script."""
        _use(self._scripts, (process, function.script), self._scripts.get((process, function.script), 0.0))
        if function.bytecode:
            _use(self._shared, (process, function.bytecode), function.shared)

    def of(self, heap: Heap, process: Hashable, bytecode: int) -> int | None:
        """Return the SharedFunctionInfo that had this bytecode, None if none is known. Raises OSError and MovedError if
        the bytecode has moved."""
        key = process, bytecode
        if bytecode and key not in self._shared:
            heap.words(bytecode, 1, heap.layout.bytecode_type)
            self._list(heap, process, bytecode)
        return self._shared.get(key)

    def _list(self, heap: Heap, process: Hashable, wanted: int) -> None:
        """List the functions of the last scripts of a process, of each script not too often and not too many."""
        now = time.monotonic()
        scripts = [key for key, at in self._scripts.items() if key[0] == process and now - at > tuning.LIST_SCRIPT_S]
        found: list[tuple[int, int]] = []
        for key in scripts[-tuning.MAX_LISTED_SCRIPTS :]:
            self._scripts[key] = now
            try:
                found += _functions(heap, key[1], tuning.MAX_LISTED_FUNCTIONS - len(found))
            except (OSError, MovedError):
                del self._scripts[key]
        for data, shared in found:
            _use(self._shared, (process, data), shared)
        if (process, wanted) not in self._shared:
            for data, shared in found[: tuning.MAX_COMPILED_FUNCTIONS]:
                with suppress(OSError, MovedError):
                    _use(self._shared, (process, bytecode_of(heap, data)), shared)


def _use(known: OrderedDict[tuple[Hashable, int], _Value], key: tuple[Hashable, int], value: _Value) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > tuning.MAX_KNOWN_FUNCTIONS:
        known.popitem(last=False)


def _functions(heap: Heap, script: int, limit: int) -> Iterator[tuple[int, int]]:
    """Yield the data of each function of a script, which may be its bytecode, and its SharedFunctionInfo."""
    listed = heap.words(script, SCRIPT_FUNCTIONS // _WORD + 1, heap.layout.script_type)[-1]
    length = max(0, min(smi(heap.words(listed, 2)[1]), limit))
    words = struct.unpack(f"<{length}Q", heap.memory.read(listed - 1 + _ELEMENTS, length * _WORD))
    places = sorted(word - word % 4 + SHARED_DATA for word in words if word & 1 and word >> 2 and not word >> 47)
    for _, on_page in islice(groupby(places, lambda place: place // _PAGE), tuning.MAX_LISTED_PAGES):
        inside = list(on_page)
        data = heap.memory.read(inside[0], inside[-1] - inside[0] + _WORD)
        for place in inside:
            yield struct.unpack_from("<Q", data, place - inside[0])[0], place - SHARED_DATA + 1
