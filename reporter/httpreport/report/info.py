"""Make the lines of `httpreport --info`: a summary of a capture in one line, then its details.

These are the recorded host, when and how long it was recorded, the options of the recorder, what the capture holds and
what it lacks. With -v its modules follow one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import BinaryIO

from httpcapture import End, Module, Reader
from httpcapture.durations import duration_text

from ..calls.call import iso_time
from ..calls.filters import common_qualities
from ..capture.loader import KeepNothing, load
from ..capture.module_sections import JoinedSections
from ..capture.recording import Recording
from ..common.counted import counted
from ..common.printable import printable
from ..elf.symbol_table import SymbolTable
from ..languages.stack_trace import Unnamed
from ..symbols.binary_lookup import Binaries
from ..symbols.module_elf import to_elf
from .aggregate import Request, binaries_of
from .loss_messages import losses, lost_text
from .warnings import (
    Cause,
    another_part_follows,
    cut_off_warnings,
    data_warnings,
    listed,
    times_of_losses,
)

_ASKED = ("processes", "roles", "kinds", "outcomes", "peers")


def info(name: str, file: BinaryIO, request: Request, *, modules: bool) -> Iterator[str]:
    """Yield the lines; those of the modules only if `modules`. Raises OSError, ReportError and CaptureError."""
    recording = load(Reader(file, name), KeepNothing(_ASKED))
    yield f"{printable(name)}: {_summary(recording)}"
    yield from (f"  {name:12} {text}" for name, text in _facts(recording, hint="" if modules else "; -v lists them"))
    yield from (f"  {'warning':12} {text}" for text in _faults(recording))
    if not modules:
        return
    with closing(binaries_of(request)) as binaries:
        for module in recording.modules.values():
            yield f"  {'module':12} {_module(module, recording.carried.get(module.id, {}), binaries)}"
        yield from (f"  {'warning':12} {printable(problem)}" for problem in binaries.problems)


def _summary(recording: Recording) -> str:
    """Return what matters most in one line: how many calls, how slow, in what time, and what was lost."""
    meta, end = recording.meta, recording.end
    calls = counted(recording.recorded, "call")
    by_process = recording.available.values()["processes"]
    slowest = max((totals.slowest_ns for totals in by_process.values()), default=None)
    slow = "" if slowest is None else f", the slowest {duration_text(slowest)}"
    length = "an unknown time" if end is None else _length(recording, end)
    lost = lost_text(recording.lost) or ("losses not known" if cut_off_warnings(recording) else "0 lost")
    return f"{calls}{slow}, in {length} on {printable(meta.host)}, {lost}"


def _faults(recording: Recording) -> Iterator[str]:
    """Yield what contradicts itself in the capture or was not read, in the words of a report. Losses and the end of the
    capture have lines of their own."""
    elsewhere = cut_off_warnings(recording)
    for warning in data_warnings(recording):
        if warning.cause != Cause.LOST and warning not in elsewhere:
            yield warning.text


def _length(recording: Recording, end: End) -> str:
    return duration_text(max(end.at_ns - recording.meta.started_monotonic_ns, 0))


def _facts(recording: Recording, *, hint: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each detail."""
    meta, end = recording.meta, recording.end
    yield "host", f"{printable(meta.host)}, Linux {printable(meta.kernel)} {printable(meta.arch)}"
    if meta.boot_id:
        yield "boot", printable(meta.boot_id)
    yield "recorder", f"{printable(meta.tool)}, probes: {printable(meta.probes)}"
    if meta.python_problem:
        yield "Python and PHP", f"no frames: {printable(meta.python_problem)}"
    if meta.redacted:
        yield "redacted", f"by {printable(meta.redacted)}"
    if recording.causes.exist:
        yield "causes", f"of {len(recording.causes):,} calls, as they were found before the capture was redacted"
    if meta.part > 1 or another_part_follows(recording):
        follows = ", another one follows" if another_part_follows(recording) else ""
        yield "part", f"{meta.part:,} of a recording{follows}"
    yield "started", iso_time(meta, meta.started_monotonic_ns)
    if end is not None:
        clean = "" if end.clean else ", not cleanly"
        yield (
            "ended",
            f"{iso_time(meta, end.at_ns)}, after {_length(recording, end)}, by {printable(end.reason)}{clean}",
        )
    else:
        yield "ended", printable(recording.cut_off or "not known: END is missing")
    qualities = common_qualities(meta.threshold_ns, meta.process_filters, first_byte=not meta.duration_rule)
    yield "filters", f"calls {qualities}" if qualities else "all calls"
    if meta.heads:
        yield "heads", printable(meta.heads)
    if meta.limits.get("stack_pages") and not meta.redacted:
        yield "secrets", "stack copies may hold secrets of the recorded programs"
    yield "limits", ", ".join(f"{printable(name)} {value:,}" for name, value in meta.limits.items()) or "none"
    in_flight = f", of them in flight at the end: {end.in_flight:,}" if end else ""
    below = f", and {recording.unlisted.below:,} below the threshold" if meta.short_layout.fields else ""
    yield "calls", f"{recording.recorded:,}{in_flight}{below}"
    for what, values in recording.available.values().items():
        yield what, listed(values)
    yield "stacks", _stacks(recording)
    yield (
        "losses",
        "; ".join(losses(recording.lost, times_of_losses(recording)))
        or ("not known" if cut_off_warnings(recording) else "nothing"),
    )
    yield (
        "modules",
        f"{len(recording.modules):,}, of {sum(map(len, recording.processes.values())):,} process maps{hint}",
    )


def _stacks(recording: Recording) -> str:
    counts = Counter(bool(stack.memory) for stack in recording.stacks)
    return f"{sum(counts.values()):,}, of them with a copy of the stack: {counts[True]:,}"


def _module(module: Module, joined: JoinedSections, binaries: Binaries) -> str:
    """Return a module's path, its build ID, what the capture carries of it, and whether its addresses can be named
    here."""
    build = module.build_id.hex() if module.build_id else "no build ID"
    carried = ", ".join(f"{printable(name) or 'whole file'} {len(whole.data):,}" for name, whole in joined.items())
    binary = binaries.find(module, to_elf(module, joined) if joined else None)
    named = f"no symbols: {binary.value}" if isinstance(binary, Unnamed) else _symbols(binary.symbols)
    problem = f"; {printable(module.problem)}" if module.problem else ""
    return f"{printable(module.path)} ({build}): {named}; carried: {carried or 'nothing'}{problem}"


def _symbols(tables: Sequence[SymbolTable]) -> str:
    sources = dict.fromkeys(source for table in tables if len(table) for source in table.sources)
    return f"symbols of {', '.join(sources)}" if sources else "no symbols: stripped"
