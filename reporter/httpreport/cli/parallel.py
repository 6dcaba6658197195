"""Read many captures at once: a worker process aggregates each of them, and the aggregates are merged as they arrive.

Memory is bounded by the distinct stacks and peers of all captures and by one capture a process, not by calls. A capture
that cannot be read, or that kills its worker, is reported with the reason, and the others are still read.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable

from httpcapture import CaptureError, Meta, open_capture

from ..common.errors import ReportError
from ..common.printable import printable
from ..outputs.output import Output, Spooled, SpoolSink, Style
from ..report.aggregate import Aggregate, Request, UnreadableCapture, aggregate, merge_aggregates
from ..report.recordings import recording_of
from ..report.sinks import Sink
from ..report.sorted_spool import cannot_write
from .atomic_files import temporary_path
from .workers import KilledWorker, results

SUFFIX = ".cap"


def captures_of(paths: Sequence[str]) -> list[str]:
    """Return the captures at the paths. A folder stands for its *.cap files, sorted by name. Raises ReportError."""
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
    """Hold the files in which outputs that list calls one by one store what they take from each capture.

    There is a file for each capture, named by its index, and each output.
    """

    folder: Path
    captures: Sequence[str]
    outputs: Sequence[Output]
    style: Style

    def of(self, index: int) -> tuple[Sink, ...]:
        """Return the sinks of the capture at this index."""
        return tuple(
            SpoolSink(self._path(output, index), output.lists, self.style)
            for output in self.outputs
            if output.lists is not None
        )

    def listing(self, output: Output) -> Spooled:
        """Return what the output took from the captures that could be read."""
        paths = (self._path(output, index) for index in range(len(self.captures)))
        return Spooled([path for path in paths if path.exists()])

    def _path(self, output: Output, index: int) -> Path:
        return self.folder / f"{index}.{output.name}"


def aggregate_all(spools: Spools, request: Request, jobs: int, *, done: Callable[[str], None]) -> Aggregate:
    """Return the aggregate of all captures, read `jobs` at a time, and fill the spools.

    Calls `done` with each capture as it is finished. Raises ReportError.
    """
    try:
        with closing(_aggregates(spools, request, jobs)) as aggregates:
            return merge_aggregates(_report_each(aggregates, done))
    except OSError as error:
        raise cannot_write(spools.folder, error) from None


def _report_each(aggregates: Iterator[tuple[str, Aggregate]], done: Callable[[str], None]) -> Iterator[Aggregate]:
    """Yield the aggregates, and call `done` with the path of each capture once its aggregate was taken."""
    for path, one in aggregates:
        yield one
        done(path)


_Work = tuple[str, Request, tuple[Sink, ...]]


def _aggregates(spools: Spools, request: Request, jobs: int) -> Generator[tuple[str, Aggregate], None, None]:
    """Yield the aggregate of each capture when it is finished.

    A single capture is read by this process: if that is killed, there is nothing else to report. Of several, one whose
    worker is killed is read once more, alone, when all others are done: the memory that it lacked may have been theirs.
    """
    requests = _requests(spools.captures, request)
    work: list[_Work] = [(path, requests[path], spools.of(index)) for index, path in enumerate(spools.captures)]
    if len(work) == 1:
        yield work[0][0], aggregate(*work[0])
        return
    killed: list[_Work] = []
    for one, result in _in_workers(work, jobs):
        if isinstance(result, KilledWorker):
            killed.append(one)
        else:
            yield one[0], result
    for again in killed:
        for (path, *_), result in _in_workers([again], 1):
            yield path, _left_out(path, result) if isinstance(result, KilledWorker) else result


def _in_workers(work: Sequence[_Work], jobs: int) -> Iterator[tuple[_Work, Aggregate | KilledWorker]]:
    """Yield each piece of work with its result. What a worker wrote before it was killed is removed."""
    with closing(results(aggregate, work, jobs)) as found:
        for index, result in found:
            if isinstance(result, KilledWorker):
                for sink in work[index][-1]:
                    sink.discard()
            yield work[index], result


def _left_out(path: str, killed: KilledWorker) -> Aggregate:
    """Return the aggregate of a capture whose worker was killed twice, which says so."""
    if killed.signal == "SIGKILL":
        how = "was killed twice (SIGKILL), maybe for lack of memory: report it alone, with a higher -t or a narrower -p"
    else:
        how = f"ended twice ({killed.signal or f'status {killed.exit_code}'}): check the capture with --verify"
    name = printable(path)
    return Aggregate(unreadable=(UnreadableCapture(name, f"{name}: the process that read it {how}"),))


def _requests(paths: Sequence[str], request: Request) -> Mapping[str, Request]:
    """Return the request for each path: --since and --until count from the first part that was given, in all parts."""
    if not (request.filters.since or request.filters.until):
        return dict.fromkeys(paths, request)
    last_to_first = sorted(metas_of(paths).items(), key=lambda item: -item[1].part)
    firsts = {recording_of(meta, path): meta for path, meta in last_to_first}
    of_parts = {path: request.filters.fixed(firsts[recording_of(meta, path)]) for path, meta in last_to_first}
    return {path: replace(request, filters=of_parts.get(path, request.filters)) for path in paths}


def metas_of(paths: Sequence[str]) -> dict[str, Meta]:
    """Return the META of each capture that can be read, by path. Reading the others later reports why they cannot."""
    metas = {}
    for path in filter(os.path.isfile, paths):  # a pipe can be read once only
        with suppress(OSError, CaptureError), open_capture(path) as reader:
            metas[path] = reader.meta
    return metas


@contextmanager
def scratch(directory: str | None) -> Iterator[Path]:
    """Make a folder for spools on the file system of the output, and remove it at the end. Raises ReportError."""
    folder = Path(temporary_path(directory or tempfile.gettempdir()))
    try:
        folder.mkdir(0o700)
    except OSError as error:
        raise ReportError(f"cannot make a folder for temporary files: {error.strerror or error}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
