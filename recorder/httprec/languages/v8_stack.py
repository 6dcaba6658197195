"""Find the frames of V8 in a copy of a stack. All code that V8 makes keeps frame pointers.

What looks like a frame and is none does no harm: the reporter knows the real ones by their addresses.
Source: src/execution/frame-constants.h of V8.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import tuning
from .v8_functions import Frame
from .v8_heap import is_pointer
from .v8_layouts import Layout

_WORD = 8


def frames_in(memory: bytes, address: int, layout: Layout) -> Iterator[Frame]:
    """Yield what may be frames of JavaScript functions in the copy of a stack from an address on, leaf first."""
    words = memoryview(memory[: len(memory) // _WORD * _WORD]).cast("Q")
    least = max(-layout.fp_offset, -layout.fp_bytecode, -layout.fp_function)
    returns: dict[int, list[int]] = {}  # by frame, to which a word points
    lowest, end = address + least, address + len(memory)
    for index, word in [(index, word) for index, word in enumerate(words[:-1]) if lowest <= word < end]:
        depth = word - address
        if index * _WORD < depth and not depth % _WORD:
            returns.setdefault(depth, []).append(words[index + 1])
    left = tuning.MAX_V8_FRAMES
    for depth in sorted(returns):
        at = depth // _WORD
        context, function, bytecode, offset = (
            words[at + place // _WORD]
            for place in (layout.fp_context, layout.fp_function, layout.fp_bytecode, layout.fp_offset)
        )
        if is_pointer(context) and is_pointer(function) and left:
            left -= 1
            yield Frame(
                address + depth,
                function,
                bytecode if is_pointer(bytecode) else 0,
                offset,
                tuple(returns[depth][: tuning.MAX_V8_RETURNS]),
            )
