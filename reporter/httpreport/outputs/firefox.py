"""Write the Firefox Profiler's processed profile: a track for each process of each host, a sample for each of its
stacks.

A sample weighs the time or the number of its calls, and begins where the previous one ends. So a track is as long as
the durations of its calls together, and does not show when they happened.

Source: https://github.com/firefox-devtools/profiler: docs-developer/CHANGELOG-formats.md and src/types/profile.ts of
version 60 of the format, which later versions of the profiler convert to theirs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, Optional, TypeVar

from .. import __version__
from ..report.headline import title
from ..report.samples import Sample, ShownFrame, Weight
from .output import Reported, encoded

VERSION, GECKO_VERSION = 60, 33  # of the processed format, and of the Gecko format of that time
_LIBRARY, _NONE = 1, -1  # the type of a resource that is a library; no resource, or no address
_WEIGHT_TYPE = {Weight.TIME: "tracing-ms", Weight.COUNT: "samples"}

Item = TypeVar("Item")
_Function = tuple[str, Optional[str], Optional[str]]  # label, module, file
_Stack = tuple[Optional[int], int]  # the number of the stack without its leaf, and that of the leaf's frame


def report(reported: Reported) -> Iterable[bytes]:
    """Return the document in pieces."""
    whole, exporter = reported.whole, f"httpreport {__version__}"
    return encoded(firefox(whole.samples, reported.style.weight, title(whole), exporter, whole.started_realtime_ns))


def firefox(
    samples: Sequence[Sample], weight: Weight, title: str, exporter: str, started_realtime_ns: int
) -> Iterator[str]:
    """Yield the document in pieces."""
    tables = _ProfileTables()
    by_process: dict[str, list[Sample]] = {} if samples else {"[no calls]": []}  # the profiler needs a track
    for sample in samples:
        by_process.setdefault(sample.of, []).append(sample)
    threads = [_thread(process, of_process, weight, tables) for process, of_process in by_process.items()]
    shared = tables.columns()
    document = {
        "meta": {
            "product": title,
            "importedFrom": exporter,
            "preprocessedProfileVersion": VERSION,
            "version": GECKO_VERSION,
            "startTime": started_realtime_ns / 1e6,
            "interval": 1,
            "processType": 0,
            "stackwalk": 1,
            "symbolicated": True,
            "symbolicationNotSupported": True,
            "usesOnlyOneStackType": True,
            "sourceCodeIsNotOnSearchfox": True,
            "keepProfileThreadOrder": True,
            "initialVisibleThreads": [*range(len(threads))],
            "initialSelectedThreads": [0],
            "categories": [{"name": "Other", "color": "grey", "subcategories": ["Other"]}],
            "markerSchema": [],
        },
        "libs": [_library(path) for path in tables.modules.rows],
        "shared": shared,
        "threads": threads,
    }
    yield from json.JSONEncoder().iterencode(document)


def _thread(process: str, samples: Sequence[Sample], weight: Weight, tables: _ProfileTables) -> dict[str, Any]:
    """Return one thread of the profile, which stands for all processes of one name.

    Its pid and tid are the name too: the format allows text. The last sample is empty and marks the end of the previous
    one.
    """
    scale = 1e6 if weight is Weight.TIME else 1
    weights = [weight.of(sample.totals) / scale for sample in samples]
    return {
        "name": process,
        "processName": process,
        "pid": process,
        "tid": process,
        "isMainThread": True,
        "processType": "default",
        "processStartupTime": 0,
        "processShutdownTime": None,
        "registerTime": 0,
        "unregisterTime": None,
        "pausedRanges": [],
        "samples": {
            "stack": [*(tables.stack(sample.stack.frames) for sample in samples), None],
            "time": [0, *accumulate(weights)],
            "weight": [*weights, 0],
            "weightType": _WEIGHT_TYPE[weight],
            "length": len(samples) + 1,
        },
        "markers": _columns([], "data name startTime endTime phase category"),
    }


def _library(path: str) -> dict[str, Any]:
    """Return a library without its build ID: all names are known, so the profiler has none to look up."""
    name = os.path.basename(path)
    return {
        "arch": "",
        "name": name,
        "path": path,
        "debugName": name,
        "debugPath": path,
        "breakpadId": "",
        "codeId": None,
    }


class _UniqueRows(Generic[Item]):
    """Number the distinct rows of a table in the order in which they are first seen."""

    def __init__(self) -> None:
        self.rows: dict[Item, int] = {}

    def number(self, row: Item) -> int:
        return self.rows.setdefault(row, len(self.rows))


class _ProfileTables:
    """Hold the tables that all threads share. Rows refer to each other by number."""

    def __init__(self) -> None:
        self._strings, self.modules, self._files = _UniqueRows[str](), _UniqueRows[str](), _UniqueRows[str]()
        self._functions, self._frames = _UniqueRows[_Function](), _UniqueRows[tuple[int, Optional[int]]]()
        self._stacks = _UniqueRows[_Stack]()

    def stack(self, frames: Sequence[ShownFrame]) -> int | None:
        """Return the number of a stack, given outermost frame first; None if it has no frames."""
        stack = None
        for frame in frames:
            function = self._functions.number((frame.name, frame.module, frame.file))
            stack = self._stacks.number((stack, self._frames.number((function, frame.line))))
        return stack

    def columns(self) -> dict[str, Any]:
        """Return the tables, column by column."""
        functions = [
            (
                self._strings.number(label),
                False,
                False,
                _NONE if module is None else self.modules.number(module),
                None if file is None else self._files.number(file),
                None,
                None,
            )
            for label, module, file in self._functions.rows
        ]
        frames = [(_NONE, 0, 0, 0, function, None, None, line, None) for function, line in self._frames.rows]
        resources = [
            (number, self._strings.number(os.path.basename(path)), None, _LIBRARY)
            for path, number in self.modules.rows.items()
        ]
        sources = [(None, self._strings.number(path)) for path in self._files.rows]
        return {
            "stackTable": _columns([*self._stacks.rows], "prefix frame"),
            "frameTable": _columns(
                frames, "address inlineDepth category subcategory func nativeSymbol innerWindowID line column"
            ),
            "funcTable": _columns(functions, "name isJS relevantForJS resource source lineNumber columnNumber"),
            "resourceTable": _columns(resources, "lib name host type"),
            "nativeSymbols": _columns([], "libIndex address name functionSize"),
            "sources": _columns(sources, "uuid filename"),
            "stringArray": [*self._strings.rows],
        }


def _columns(rows: Sequence[tuple[object, ...]], names: str) -> dict[str, Any]:
    """Return a table column by column, as the profiler stores it. `names` has the columns' names."""
    columns = zip(*rows) if rows else ((),) * len(names.split())
    return {**dict(zip(names.split(), map(list, columns))), "length": len(rows)}
