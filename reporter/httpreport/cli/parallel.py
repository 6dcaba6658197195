"""One report over many captures: each is aggregated by a process, and what comes back is merged as it comes.

Memory is bounded by the distinct stacks and peers of all captures and by one capture a process, not by calls. A capture
that cannot be read is named with its reason, and the others go on. Where there is more than one host, hosts are told
apart: it is the first frame of a folded stack.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable

from httpcapture import CaptureError, Meta, open_capture

from ..common.errors import ReportError
from ..outputs import csv_table
from ..outputs.stack_traces import Blocks, explained
from ..report.aggregate import Aggregate, CallByCall, Request, aggregate, merge_aggregates
from ..report.headline import kept, origins, warning_lines
from ..report.recordings import recording_of
from ..report.sorted_spool import cannot_write, entries, merged
from ..report.stack_ids import resolved
from ..report.unreached import unreached
from .atomic_files import temporary_path

SUFFIX = ".cap"


def captures_of(paths: Sequence[str]) -> list[str]:
    """The captures meant by the paths: a folder means its *.cap files, sorted by name. Raises ReportError."""
    captures: list[str] = []
    for path in paths:
        if not os.path.isdir(path):
            captures.append(path)
            continue
        try:
            names = sorted(name for name in os.listdir(path) if name.endswith(SUFFIX))
        except OSError as error:
            raise ReportError(f"cannot read the folder {path}: {error.strerror or error}") from None
        if not names:
            raise ReportError(f"the folder {path} holds no *{SUFFIX} file: give the files themselves")
        captures += (os.path.join(path, name) for name in names)
    return list(dict.fromkeys(captures))


@dataclass(frozen=True)
class Spools:
    """Where what is told call by call waits: a file for each capture, by their order, of each kind that is `wanted`
    (names of fields of CallByCall)."""

    folder: Path
    captures: Sequence[str]
    wanted: frozenset[str]

    def of(self, place: int) -> CallByCall:
        return CallByCall(**{kind: self._path(kind, place) for kind in self.wanted})

    def written(self, kind: str) -> list[Path]:
        """The files that there are: a capture that could not be read has none."""
        paths = (self._path(kind, place) for place in range(len(self.captures)))
        return [path for path in paths if path.exists()]

    def _path(self, kind: str, place: int) -> Path:
        return self.folder / f"{place}.{kind}"


def aggregate_all(spools: Spools, request: Request, jobs: int, *, done: Callable[[str], None]) -> Aggregate:
    """The aggregate of all captures, `jobs` at a time (1: in this process); fills the spools. Calls `done` with each
    capture as it is finished. Raises ReportError."""
    try:
        return merge_aggregates(_told(_aggregates(spools, request, jobs), done))
    except BrokenProcessPool:
        raise ReportError("a process that read a capture was killed, maybe for lack of memory: try --jobs 1") from None
    except OSError as error:
        raise cannot_write(spools.folder, error) from None


def _told(aggregates: Iterator[tuple[str, Aggregate]], done: Callable[[str], None]) -> Iterator[Aggregate]:
    for path, one in aggregates:
        yield one
        done(path)


def _aggregates(spools: Spools, request: Request, jobs: int) -> Iterator[tuple[str, Aggregate]]:
    requests = _requests(spools.captures, request)
    work = [(path, requests[path], spools.of(place)) for place, path in enumerate(spools.captures)]
    if jobs == 1 or len(work) == 1:
        yield from ((arguments[0], aggregate(*arguments)) for arguments in work)
        return
    context = multiprocessing.get_context("spawn")  # no copy of this process, whatever Python's default is
    with ProcessPoolExecutor(min(jobs, len(work)), context) as pool:
        waiting: dict[Future[Aggregate], str] = {pool.submit(aggregate, *arguments): arguments[0] for arguments in work}
        for future in as_completed(waiting):
            yield waiting.pop(future), future.result()
            del future


def _requests(paths: Sequence[str], request: Request) -> Mapping[str, Request]:
    """By path: --since and --until count from the first part of a recording that is here, in all of them."""
    if not (request.filters.since or request.filters.until):
        return dict.fromkeys(paths, request)
    last_to_first = sorted(metas_of(paths).items(), key=lambda item: -item[1].part)
    firsts = {recording_of(meta, path): meta for path, meta in last_to_first}
    of_parts = {path: request.filters.fixed(firsts[recording_of(meta, path)]) for path, meta in last_to_first}
    return {path: replace(request, filters=of_parts.get(path, request.filters)) for path in paths}


def metas_of(paths: Sequence[str]) -> dict[str, Meta]:
    """Those of the captures that can be read, by path; why others cannot is said when they are read."""
    metas = {}
    for path in filter(os.path.isfile, paths):  # a pipe can be read once only
        with suppress(OSError, CaptureError), open_capture(path) as reader:
            metas[path] = reader.meta
    return metas


@contextmanager
def scratch(directory: str | None) -> Iterator[Path]:
    """A folder for spools, on the file system of the output. Raises ReportError."""
    folder = Path(temporary_path(directory or tempfile.gettempdir()))
    try:
        folder.mkdir(0o700)
    except OSError as error:
        raise ReportError(f"cannot make a folder for what is told call by call: {error.strerror or error}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def text(whole: Aggregate, spools: Spools, *, all_stacks: bool) -> Iterator[str]:
    """stack_traces.txt in pieces, none of which ends with a newline: the calls of all captures, the longest first."""
    yield from (f"Warning: {warning}" for warning in warning_lines(whole))
    yield from (f"{origin}: {kept(run.parts)}" for origin, run in zip(origins(whole), whole.runs))
    yield from unreached(whole.captures)
    yield f"{whole.listed:,} calls, the longest first"
    yield from explained(whole.listed, all_stacks=all_stacks)
    written = Blocks(whole.stack_ids, all_stacks=all_stacks)
    yield from (f"\n{written.text(block)}{last}" for last, block in merged(spools.written("text")))


def lines(whole: Aggregate, spools: Spools) -> Iterator[str]:
    """Those of --csv, the longest call first."""
    return csv_table.lines(merged(spools.written("table")), whole.stack_ids)


def documents(whole: Aggregate, spools: Spools) -> Iterator[str]:
    """The JSON document in pieces: see report.schema.json."""
    unreadable = [{"file": one.file, "reason": one.reason} for one in whole.unreadable]
    yield f'{{\n"format": "httpreport captures",\n"version": 1,\n"unreadable": {json.dumps(unreadable)},\n"reports": ['
    separator = "\n"
    for path in spools.written("document"):
        yield separator
        yield from (resolved(entry.values, whole.stack_ids) for entry in entries(path))
        separator = ","
    yield "]\n}\n"
