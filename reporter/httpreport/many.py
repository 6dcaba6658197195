"""One report over many captures: each is digested by a process, and what comes back is merged as it comes.

Memory is bounded by the distinct stacks and peers of all captures and by one capture a process, not by calls. A capture
that cannot be read is named with its reason, and the others go on. Where there is more than one host, hosts are told
apart: it is the first frame of a folded stack.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from . import clean
from .digest import Digest, Request, digest
from .errors import ReportError
from .fold import weight_of
from .samples import Weight
from .spool import merged
from .text import MEANING

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
class Parts:
    """Where the captures' parts of an output that tells call by call wait, by the captures' order."""

    folder: Path
    captures: Sequence[str]

    def calls(self, place: int) -> Path:
        return self.folder / f"{place}.calls"

    def document(self, place: int) -> Path:
        return self.folder / f"{place}.json"

    def written(self, part: Callable[[int], Path]) -> list[Path]:
        """The parts that there are: a capture that could not be read has none."""
        return [part(place) for place in range(len(self.captures)) if part(place).exists()]


def digest_all(
    parts: Parts, request: Request, jobs: int, *, calls: bool, documents: bool, done: Callable[[str], None]
) -> Digest:
    """The digest of all captures, `jobs` at a time (1: in this process), and their parts. Calls `done` with each
    capture as it is finished. Raises ReportError."""
    whole = Digest()
    try:
        for path, one in _digests(parts, request, jobs, calls, documents):
            whole = whole.merge(one)
            done(path)
    except BrokenProcessPool:
        raise ReportError("a process that read a capture was killed, maybe for lack of memory: try --jobs 1") from None
    except OSError as error:
        raise ReportError(f"cannot write {error.filename}: {error.strerror or error}") from None
    return whole


def _digests(parts: Parts, request: Request, jobs: int, calls: bool, documents: bool) -> Iterator[tuple[str, Digest]]:
    work = [
        (path, request, parts.calls(place) if calls else None, parts.document(place) if documents else None)
        for place, path in enumerate(parts.captures)
    ]
    if jobs == 1 or len(work) == 1:
        yield from ((arguments[0], digest(*arguments)) for arguments in work)
        return
    context = multiprocessing.get_context("spawn")  # no copy of this process, whatever Python's default is
    with ProcessPoolExecutor(min(jobs, len(work)), context) as pool:
        waiting: dict[Future[Digest], str] = {pool.submit(digest, *arguments): arguments[0] for arguments in work}
        for future in as_completed(waiting):
            yield waiting.pop(future), future.result()
            del future


@contextmanager
def scratch(directory: str | None) -> Iterator[Path]:
    """A folder for the parts, on the file system of the output. Raises ReportError."""
    try:
        folder = tempfile.TemporaryDirectory(prefix=".httpreport.", dir=directory)
    except OSError as error:
        raise ReportError(f"cannot make a folder for the captures' parts: {error.strerror or error}") from None
    with folder as path:
        yield Path(path)


def hosts(whole: Digest) -> list[str]:
    return sorted({facts.host for facts in whole.captures})


def folded(whole: Digest, by: Weight = Weight.TIME) -> Iterator[str]:
    """The lines of stacks.folded."""
    several = len(hosts(whole)) > 1
    weights: Counter[str] = Counter()
    for key, sums in whole.stacks.items():
        weights[f"{clean.frame(key.host)};{key.stack}" if several else key.stack] += weight_of(sums, by)
    for stack, weight in sorted(weights.items(), key=lambda item: item[0].encode()):
        yield f"{stack} {weight}"


def text(whole: Digest, parts: Parts) -> Iterator[str]:
    """stack_traces.txt in pieces, none of which ends with a newline: the calls of all captures, the longest first."""
    yield from (f"Warning: {warning}" for warning in warnings(whole))
    for facts in whole.captures:
        kept = f"{facts.kept:,} of {facts.recorded:,} calls ({facts.selection})"
        yield f"{facts.file}: recorded on {facts.host} from {facts.started}: {kept}"
    yield f"{sum(facts.listed for facts in whole.captures):,} calls, the longest first"
    yield MEANING
    yield from ("\n" + block for block in merged(parts.written(parts.calls)))


def documents(whole: Digest, parts: Parts) -> Iterator[str]:
    """The JSON document in pieces: see report.schema.json."""
    unreadable = [{"file": one.file, "reason": one.reason} for one in whole.unreadable]
    yield f'{{\n"format": "httpreport captures",\n"version": 1,\n"unreadable": {json.dumps(unreadable)},\n"reports": ['
    separator = "\n"
    for path in parts.written(parts.document):
        yield separator
        with open(path, encoding="utf-8") as file:
            yield from file
        separator = ","
    yield "]\n}\n"


def warnings(whole: Digest) -> Iterator[str]:
    """One line each, safe to print: what could not be read, and the cautions with their captures."""
    for one in whole.unreadable:
        yield f"left out: {one.reason}"
    for facts in whole.captures:
        yield from (f"{facts.file}: {caution.text}" for caution in facts.cautions)


def incomplete(whole: Digest) -> bool:
    """What --strict refuses: something was lost, cut off or could not be read."""
    return bool(whole.unreadable) or not all(facts.complete for facts in whole.captures)
