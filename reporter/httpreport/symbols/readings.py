"""Find the maps that belong to the moment of a stack among the readings of its process's maps.

The recorder reads maps when a process begins its first call, and again when a stack is newer than they are. So a stack
lies between two readings, or before the first or after the last. If it lies between two, only code that both have at
the same place is known to be the code of that moment. After an exec, maps are those of another program; a stack whose
stack pointer they do not have is not of that program.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Callable, NamedTuple, Optional, Union

from httpcapture import Process

from ..languages.stack_trace import Unnamed
from ..unwind import AddressSpace, Architecture, CodeRange, Rows, Unwinder
from .maps import Mapping, Maps

CallFrames = Callable[[Mapping, Optional[int]], Optional[tuple[int, Rows]]]
"""Return load bias and unwind information of a mapping and the id of its module, None if there is none."""

_MAIN_STACK = b"[stack]"
RANDOMISED = 1 << 32  # programs that are not position independent have their code below, at addresses of their choice


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Hold a process's mappings at one moment, and the ids of the modules that they map, by the mapping's start."""

    architecture: Architecture | None  # None: the processor is not known
    number: int  # which of the process's recorded maps it is, from 1
    maps: Maps
    modules: dict[int, int]
    call_frames: CallFrames

    @cached_property
    def unwinder(self) -> Unwinder:
        """Return the unwinder of stack copies of a known processor. Its first use looks for all modules."""
        assert self.architecture is not None
        space = AddressSpace(map(self._code_range, filter(attrgetter("executable"), self.maps)))
        return Unwinder(space, self.architecture)

    @cached_property
    def of_32_bit(self) -> bool:
        """Return whether nothing is mapped where the stack of a 64-bit process is."""
        ends = [mapping.end for mapping in self.maps]
        return bool(ends) and self.architecture is not None and max(ends) <= self.architecture.end_of_32_bit

    @cached_property
    def main_stack_end(self) -> int | None:
        """Return where the stack of the first thread ends: it stays until an exec."""
        return next((mapping.end for mapping in self.maps if mapping.path == _MAIN_STACK), None)

    def shows(self, address: int) -> tuple[object, ...] | None:
        """Return what is mapped at an address: equal for two readings if the same bytes of the same file are."""
        mapping = self.maps.find(address)
        if mapping is None:
            return None
        module = self.modules.get(mapping.start)
        if module is None and not mapping.path.startswith(b"/"):
            return mapping.executable, mapping.path
        return mapping.executable, mapping.path, module, mapping.file_offset(address)

    def _code_range(self, mapping: Mapping) -> CodeRange:
        bias, frames = self.call_frames(mapping, self.modules.get(mapping.start)) or (0, None)
        return CodeRange(mapping.start, mapping.end, bias, frames)


class Place(NamedTuple):
    """Hold the maps that the frames of a stack are in. Code counts only if the `other` reading has it too."""

    maps: Snapshot
    other: Snapshot | None = None

    def find(self, address: int) -> Union[Mapping, Unnamed, None]:
        """Return the mapping at an address, the reason why that is not known, or None if nothing is mapped there."""
        if self.other is not None and self.maps.shows(address) != self.other.shows(address):
            return Unnamed.MAPS_DIFFER
        return self.maps.maps.find(address)


class Around(NamedTuple):
    """Hold the readings around the moment of a stack. Both are the same if the maps were unchanged."""

    before: Snapshot | None
    after: Snapshot | None

    @property
    def distinct(self) -> tuple[Snapshot, ...]:
        """Return the readings, each once, the later one first."""
        both = (self.after, self.before) if self.after is not self.before else (self.after,)
        return tuple(filter(None, both))

    def of_stack(self, stack_pointer: int, leaf: int) -> tuple[Snapshot, ...]:
        """Return the readings that are of the same program as a stack, none if that is known of none.

        A thread's stack may be newer or older than the maps. Then the code at `leaf`, the instruction pointer, tells
        the program if it is at an address that was chosen at random.
        """
        holding = tuple(one for one in self.distinct if one.maps.find(stack_pointer))
        if self._is_one_program and (holding or len(self.distinct) == 2 or self.before is self.after):
            return self.distinct
        by_leaf = leaf >= RANDOMISED
        return holding or tuple(one for one in self.distinct if by_leaf and one.maps.has_code(leaf))

    def of_leaf(self, leaf: int) -> tuple[Snapshot, ...]:
        """Return the readings that are of the same program as a stack of which only addresses are known."""
        having = tuple(one for one in self.distinct if one.maps.has_code(leaf))
        return having if having and not self._is_one_program else self.distinct

    @property
    def _is_one_program(self) -> bool:
        """Return whether no exec is seen between the readings."""
        return len({one.main_stack_end for one in self.distinct} - {None}) < 2


@dataclass
class Readings:
    """Hold the readings of the maps of one process. `read` makes a snapshot of a record, or None if there is no room;
    it is called when a stack needs it."""

    records: Sequence[Process]
    read: Callable[[int, Process], Optional[Snapshot]]
    left_out: bool = False
    """Whether there was no room for maps that a stack needed."""
    _snapshots: dict[int, Snapshot] = field(default_factory=dict)  # by index in `records`

    def around(self, taken_ns: int) -> Around:
        """Return the last reading that had ended when a stack was taken, and the first that had not.

        Without one of them there is none: the other alone could name wrongly.
        """
        ends, indices = self._ends
        place = bisect_right(ends, taken_ns)
        before = self._snapshot(indices[place - 1]) if place else None
        after = self._snapshot(indices[place]) if place < len(indices) else None
        return Around(None, None) if self.left_out else Around(before, after)

    def numbered(self, number: int) -> Snapshot | None:
        """Return the maps of a record by its number, from 1; None if there is no such record or it has no maps."""
        index = number - 1
        return self._snapshot(index) if 0 <= index < len(self.records) and self.records[index].maps else None

    @cached_property
    def _ends(self) -> tuple[list[int], list[int]]:
        """Return when each reading had ended, in order, and the index of the record that has its maps."""
        readings, latest = [], None
        for index, record in enumerate(self.records):
            latest = index if record.maps else latest
            if latest is not None and (record.maps or record.unchanged):
                readings.append((record.read_ns or record.taken_ns, latest))
        readings.sort()
        return [end for end, _ in readings], [index for _, index in readings]

    def _snapshot(self, index: int) -> Snapshot | None:
        if index not in self._snapshots:
            snapshot = None if self.left_out else self.read(index + 1, self.records[index])
            if snapshot is None:
                self.left_out = True
                return None
            self._snapshots[index] = snapshot
        return self._snapshots[index]
