"""A picture is drawn from samples: each distinct stack of a process once, with the time and the number of its calls."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple, Optional

from .clean import comm, printable
from .report import Report
from .sums import Sums
from .trace import Frame, Incomplete, StackTrace


class Place(NamedTuple):
    """What a viewer shows of a frame: printable, and the same for frames that are to be one box."""

    label: str
    module: Optional[str] = None
    file: Optional[str] = None
    line: Optional[int] = None
    address: int = 0
    inlined: bool = False


class Weight(enum.Enum):
    """What the width of a box is."""

    TIME = "time"  # nanoseconds
    COUNT = "count"  # calls


class Sample(NamedTuple):
    """`places` are outermost first."""

    process: str
    places: tuple[Place, ...]
    time_ns: int
    calls: int

    def weight(self, weight: Weight) -> int:
        return self.time_ns if weight is Weight.TIME else self.calls


def samples(report: Report) -> Sequence[Sample]:
    """The samples of the kept calls, the most time first."""
    summed: dict[tuple[str, tuple[Place, ...]], Sums] = {}
    for key, sums in report.recording.by_stack.items():
        stack = comm(key.process), places(report.traces[report.trace_of_key[key]])
        summed[stack] = summed.get(stack, Sums()) + sums
    made = [Sample(*stack, sums.time_ns, sums.calls) for stack, sums in summed.items()]
    return sorted(made, key=lambda sample: -sample.time_ns)


def places(trace: StackTrace) -> tuple[Place, ...]:
    """A stack trace outermost first; why there is none, or why outer frames are missing, stands in brackets."""
    if trace.missing is not None:
        return (Place(f"[no stack: {trace.missing.value}]"),)
    outer = []
    if trace.incomplete not in (None, Incomplete.AS_RECORDED):
        outer.append(Place(f"[incomplete: {trace.incomplete.value}]"))
    if trace.left_out:
        outer.append(Place("[frames left out]"))
    return (*outer, *map(_place, reversed(trace.frames)))


def _place(frame: Frame) -> Place:
    module = None if frame.module is None else printable(frame.module)
    file = None if frame.file is None else printable(frame.file)
    return Place(printable(frame.label), module, file, frame.line, frame.address, frame.inlined)
