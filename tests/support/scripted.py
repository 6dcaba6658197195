"""Run the recorder's own loop over a script: what the kernel does in each round, and where a part ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from httpbpf.program import Sizes
from httpcapture import (
    Calls,
    Completions,
    Connections,
    End,
    Meta,
    Process,
    Record,
    ShortCalls,
    Stack,
    open_capture,
)
from httprec import host
from httprec.call_printer import CallPrinter
from httprec.parts import Bounds, Parts
from httprec.recording_loop import RecordingLoop, Totals
from support.synthetic import SyntheticTracer

Step = Callable[[SyntheticTracer], None]


class Part(NamedTuple):
    """Hold one file, read by itself."""

    meta: Meta
    records: list[Record]
    cut_off: Optional[str]

    def of(self, kind: type) -> list[Record]:
        return [record for record in self.records if isinstance(record, kind)]

    @property
    def end(self) -> End:
        (end,) = self.of(End)
        assert isinstance(end, End)
        return end

    def column(self, name: str, kind: type = Calls) -> list[int]:
        found: list[int] = []
        for batch in self.of(kind):
            assert isinstance(batch, (Calls, Completions, Connections, ShortCalls))
            found += batch.columns[name].cast("I" if name == "pid" else "Q")
        return found

    @property
    def stacks(self) -> set[int]:
        return {record.id for record in self.records if isinstance(record, Stack)}

    @property
    def processes(self) -> list[Process]:
        return [record for record in self.records if isinstance(record, Process)]


def read(path: Path) -> Part:
    with open_capture(path) as reader:
        return Part(reader.meta, list(reader), reader.cut_off)


def parts_of(folder: Path) -> list[Part]:
    return [read(folder / name) for name in sorted(os.listdir(folder))]


def meta() -> Meta:
    return host.meta(0, [], "fexit", Sizes(short_ring_pages=1))


class Scripted(Parts):
    """Begin another part on command."""

    due = False

    def is_due(self, calls: int, now_ns: int) -> bool:
        due, self.due = self.due, False
        return due


def rotate(tracer: SyntheticTracer) -> None:
    """Serve as a step that is recognised by its name."""


def record(
    folder: Path,
    rounds: Sequence[Sequence[Step]],
    *,
    keep: int | None = None,
    modules_size: int = 0,
    ring: int = 1 << 20,
    threshold_ns: int = 0,
    print_call: Callable[[str], bool] | None = None,
) -> tuple[Totals, SyntheticTracer, list[str]]:
    """Run all steps of a round, then let the recorder drain the rings. A `rotate` among them makes the round the last
    of its part."""
    tracer, todo, said = SyntheticTracer(ring), iter(rounds), list[str]()
    parts = Scripted(
        str(folder / "run.cap"), Bounds(part_age_ns=1, keep=keep), meta, overwrite=False, print_line=said.append
    )
    with parts:

        def is_over() -> str | None:
            steps = next(todo, None)
            for step in steps or ():
                step(tracer)
            parts.due = rotate in (steps or ())
            return None if steps is not None else "SIGINT"

        totals = RecordingLoop(tracer, parts, threshold_ns, modules_size, CallPrinter(print_call)).run(is_over)
    tracer.close()
    return totals, tracer, said
