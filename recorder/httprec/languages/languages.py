"""Ask each language for the frames of programs, and write what names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Callable, Protocol

from httpcapture import Process, Stack, Writer

from .known_codes import CodeKey, KnownCodes


class Language(Protocol):
    """Add the frames of programs in one language to stacks."""

    not_read: int  # stacks whose frames there was no time to read

    def look_around(self) -> None:
        """Look for the language in all processes."""

    def look_at(self, process: Process) -> None:
        """Look for the language in a process whose maps were read just now."""

    def drain(self) -> None:
        """Take what has arrived from the kernel."""

    def join(self, stack: Stack) -> Stack:
        """Return the stack with the frames of its program, if it has some."""

    def join_waiting(self, stack: Stack, slot: int) -> Stack:
        """Do the same for a stack that waits in a slot of the kernel; `slot` is 0 if nothing else waits there."""

    def code_keys(self, stack: Stack) -> Iterator[CodeKey]:
        """Yield the code objects that the frames of a stack refer to."""


class Languages:
    """Ask the languages of one recording."""

    def __init__(self, writer: Writer, languages: Iterable[Callable[[KnownCodes], Language]]) -> None:
        self._codes = KnownCodes(writer)
        self._languages = [language(self._codes) for language in languages]

    @property
    def left_out(self) -> int:
        """Return how many code objects the capture had no room for."""
        return self._codes.left_out

    @property
    def not_read(self) -> int:
        """Return how many stacks lack frames that there was no time to read."""
        return sum(language.not_read for language in self._languages)

    def begin_part(self, writer: Writer) -> None:
        """Begin another capture, which needs the code objects of its own stacks."""
        self._codes.begin_part(writer)

    def look_around(self) -> None:
        """Look for the languages in all processes."""
        for language in self._languages:
            language.look_around()

    def look_at(self, process: Process) -> None:
        """Look for the languages in a process whose maps were read just now."""
        for language in self._languages:
            language.look_at(process)

    def drain(self) -> None:
        """Take what has arrived from the kernel."""
        for language in self._languages:
            language.drain()

    def join(self, stack: Stack) -> Stack:
        """Return the stack with the frames of its program."""
        for language in self._languages:
            stack = language.join(stack)
        return stack

    def join_waiting(self, stack: Stack, slot: int) -> Stack:
        """Do the same for a stack that waits in a slot of the kernel."""
        for language in self._languages:
            stack = language.join_waiting(stack, slot)
        return stack

    def write_codes(self, stack: Stack) -> None:
        """Write the code objects of a stack's frames, unless this part of the recording has them."""
        for language in self._languages:
            self._codes.write(language.code_keys(stack))
