"""Make samples, from which pictures are drawn: each distinct stack of a process with the totals of its calls."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Optional

from ..calls.request_keys import NOT_KNOWN, OTHER_REQUEST, Examples
from ..calls.route_totals import RoleRequest
from ..calls.totals import Totals
from ..common.printable import frame as printable_frame
from ..common.printable import printable
from ..languages.stack_trace import Frame, Incomplete, StackTrace


class ShownFrame(NamedTuple):
    """Hold what a viewer shows of a frame. It is printable, and equal for frames of any process that are to be one
    box."""

    label: str
    module: Optional[str] = None
    file: Optional[str] = None
    line: Optional[int] = None
    file_offset: int = 0  # of the address, in the module's file
    inlined: bool = False
    function: Optional[str] = None  # the name alone, if the label says more

    @property
    def name(self) -> str:
        """Return what a viewer shows that has file and line too."""
        return self.label if self.function is None else self.function

    def __lt__(self, other: tuple[Any, ...]) -> bool:
        """Define an order that is the same in every process; None cannot be compared with text."""
        return repr(self) < repr(other)


class HostStack(NamedTuple):
    """Identify the calls of one host, one process name and one stack trace; `frames` are outermost first. If calls are
    told apart by route, `asked` says what they ask for."""

    host: str
    process: str
    frames: tuple[ShownFrame, ...]
    asked: Optional[RoleRequest] = None

    def within(self, examples: Examples) -> HostStack:
        """Return the same with OTHER_REQUEST if what the calls ask for is not among the examples."""
        if self.asked is None or self.asked.request in examples or self.asked.request == NOT_KNOWN:
            return self
        return self._replace(asked=self.asked._replace(request=OTHER_REQUEST))


class Weight(enum.Enum):
    """Say what the width of a box stands for."""

    TIME = "time"
    COUNT = "count"

    def of(self, totals: Totals) -> int:
        """Return nanoseconds, or calls."""
        return totals.time_ns if self is Weight.TIME else totals.calls

    def folded(self, totals: Totals) -> int:
        """Return whole microseconds, those of each call rounded down, or calls."""
        return totals.microseconds if self is Weight.TIME else totals.calls


class Sample(NamedTuple):
    """Hold a stack and the totals of its calls. `above` are the boxes outside of the stack trace: the host if there are
    several, the process, and the route if there is one."""

    above: tuple[str, ...]
    stack: HostStack
    totals: Totals
    route: str = ""

    @property
    def of(self) -> str:
        """Return `above` as one text."""
        return ": ".join(name or "[no name]" for name in self.above)


def samples(
    stacks: Mapping[HostStack, Totals], route: Callable[[RoleRequest], str], *, with_host: bool = False
) -> list[Sample]:
    """Return the samples, those with the most time first. Their order does not depend on the order of `stacks`.
    `route` returns the route of what calls ask for."""
    together: dict[tuple[str, HostStack], Totals] = {}
    for stack, totals in stacks.items():
        key = ("" if stack.asked is None else route(stack.asked), stack._replace(asked=None))
        together[key] = together.get(key, Totals()) + totals
    made = [
        Sample((*([stack.host] if with_host else []), stack.process, *([of] if of else [])), stack, totals, of)
        for (of, stack), totals in together.items()
    ]
    return sorted(made, key=lambda sample: (-sample.totals.time_ns, sample.above, sample.stack.frames))


def shown_frames(trace: StackTrace) -> tuple[ShownFrame, ...]:
    """Return the frames of a stack trace, outermost first. A reason in brackets stands for a missing stack or for
    missing outer frames."""
    if trace.missing is not None:
        return (ShownFrame(f"[no stack: {trace.missing.value}]"),)
    outer = []
    if trace.incomplete not in (None, Incomplete.AS_RECORDED):
        outer.append(ShownFrame(f"[incomplete: {trace.incomplete.value}]"))
    if trace.left_out:
        outer.append(ShownFrame("[frames left out]"))
    if trace.repeats:
        outer.append(ShownFrame("[frames repeat up to the limit: recursion, or frame pointers that lead in a circle]"))
    outer += [ShownFrame(f"[{problem}]") for problem in trace.problems]
    return (*outer, *map(_shown_frame, reversed(trace.frames)))


@lru_cache(maxsize=1 << 16)
def _shown_frame(frame: Frame) -> ShownFrame:
    module = None if frame.module is None else printable(frame.module)
    file = None if frame.file is None else printable(frame.file)
    function = printable(frame.name) if frame.kind.language and frame.name is not None else None
    offset = frame.file_offset or 0
    return ShownFrame(printable(frame.label), module, file, frame.line, offset, frame.inlined, function)


def with_line(frame: ShownFrame) -> str:
    """Return the name of a frame, and its line if that is known."""
    name = printable_frame(frame.name)
    return f"{name} {os.path.basename(frame.file)}:{frame.line}" if frame.file and frame.line else name
