"""Keep the code objects that were read from processes, and write each once for each part of the recording."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from httpcapture import BeyondLimitError, Code, Writer

from .. import tuning

CodeKey = tuple[int, int, int, int]  # pid, start since boot in ns, address, cookie


class ReplacedError(Exception):
    """Report that another code object is at the address by now."""


class KnownCodes:
    """Hold the most recently used code objects of one recording."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._codes: OrderedDict[CodeKey, Code] = OrderedDict()  # the most recently used last
        self._size = 0  # bytes of these
        self._written: set[CodeKey] = set()  # in this part
        self.left_out = 0  # code objects for which the capture had no room

    def begin_part(self, writer: Writer) -> None:
        """Begin another capture, which needs the code objects of its own stacks."""
        self._writer = writer
        self._written.clear()

    def has(self, key: CodeKey) -> bool:
        """Return whether a code object was read without a problem."""
        return key in self._codes and not self._codes[key].problem

    def remember(self, codes: Iterable[Code]) -> None:
        """Keep code objects; those that were not used for longest are forgotten."""
        for code in codes:
            key = (code.pid, code.process_start_ns, code.address, code.cookie)
            before = self._codes.pop(key, None)
            if before:
                self._size -= _size(before)
                if not code.problem:
                    self._written.discard(key)  # with a problem, which is overcome
            self._codes[key] = code
            self._size += _size(code)
        while self._size > tuning.MAX_KNOWN_CODE_BYTES:
            self._size -= _size(self._codes.popitem(last=False)[1])

    def write(self, keys: Iterable[CodeKey]) -> None:
        """Write the code objects that are known and that this part of the recording does not have."""
        for key in keys:
            code = self._codes.get(key)
            if code and key not in self._written:
                self._codes.move_to_end(key)
                self._written.add(key)
                try:
                    self._writer.code(code)
                except BeyondLimitError:
                    self.left_out += 1


def _size(code: Code) -> int:
    return len(code.name) + len(code.filename) + len(code.table) + len(code.line_ends) + tuning.CODE_OVERHEAD
