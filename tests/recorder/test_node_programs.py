"""Record Node's programs on this machine, and compare their frames with what V8 itself says of them.

The Node on PATH is taken, and those named in NODES (paths of executables, separated by colons).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

from httpcapture import Calls, CaptureError, Reader, Role, Stack
from httpreport.calls.call_heads import CallHeads
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from httpreport.languages.stack_trace import Frame, FrameKind, StackTrace, Unnamed
from httpreport.report.report import Report, make_report
from httpreport.symbols.binary import FindBinary
from httpreport.symbols.binary_lookup import Binaries
from support.capture_bytes import decompressed
from support.echo_server import echo_server
from support.head_records import heads_of
from support.recorders import needs_a_recorder
from support.redactions import redacted, traces
from support.reports import reported
from workload.recorder import recording
from workload.waiting import wait_until

PROGRAMS = Path(__file__).parents[1] / "workload" / "node_situations"
REPLACED = 100
REQUEST_SIZE = 8  # of a request, which tell it from others
STEADY = ("--no-sparkplug", "--min-semi-space-size=64", "--max-semi-space-size=64")  # hardly anything moves
ANONYMOUS = "<anonymous>"
OPTIMIZED = ("code that V8 has optimized", "a function that calls an optimized one")
NEW = ("another kind of module",)  # loaded late: what is read of it first proves nothing
MADE = re.compile(r"[fo]\d{8}")  # names of functions that are replaced
NAMED_WHEN_MADE = ("computed", "[Symbol.iterator]")  # V8 gives the function such a name, not its code
NAME = "jsprogram"  # of the processes that are recorded; Node 24 names its main thread otherwise
ROOM = ("--stack-ring", "65536", "--stack-size", "64")
V8S = {"18": (10, 2), "20": (11, 3), "22": (12, 4), "24": (13, 6)}


def nodes() -> dict[str, str]:
    """Return the executables of the Nodes on this machine by their versions."""
    found: dict[str, str] = {}
    for candidate in filter(None, [*os.environ.get("NODES", "").split(":"), shutil.which("node")]):
        told = subprocess.run([candidate, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        if told.removeprefix("v").partition(".")[0] in V8S:
            found.setdefault(told, candidate)
    return found


NODES = nodes()


class Recorded(NamedTuple):
    notes: list[dict[str, Any]]
    report: Report
    stacks: dict[tuple[bytes, int], int]  # by first bytes of the request, and role
    capture: Path
    find_binary: FindBinary

    def traces(self) -> Iterator[tuple[str, list[list[Any]], StackTrace]]:
        """Yield the situation, the noted frames and the stack trace of each call."""
        for note in self.notes:
            role = Role.SERVER if note["role"] == "server" else Role.CLIENT
            stack = self.stacks.get((note["request"].encode(), role))
            assert stack is not None, note["situation"]
            trace = self.report.traces[self.report.trace_of_stack[0, stack]]
            yield note["situation"], [told(frame) for frame in note["frames"]], trace


def told(frame: list[Any]) -> list[Any]:
    """Return name, file and line as httpreport shows them, from what V8 says."""
    name, file, line, is_eval = frame
    if file is not None and file.startswith("file:///"):
        file = unquote(urlsplit(file).path)
    is_shown = name not in NAMED_WHEN_MADE and not (is_eval and name == "eval")
    return [name if is_shown else None, file, line]


def record(node: str, folder: Path, *options: str, program: Path = PROGRAMS / "main.cjs", count: int = 0) -> Recorded:
    """Record the situations in a Node, and report them as on a machine that has no binaries."""
    capture, notes = folder / "run.cap", folder / "notes"
    (folder / NAME).symlink_to(os.path.realpath(node))
    with echo_server() as port:
        command = [str(folder / NAME), *options, str(program), str(notes), str(port), str(count)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin and process.stdout
            names = ("-p", NAME, "-p", "MainThread")
            with recording(capture, "-t", "0", "-q", *names, "--probes", "tracepoint", "--languages", "node", *ROOM):
                process.stdin.write(b"connect\n")
                process.stdin.flush()
                wait_until("a first stack", lambda: has_stack(capture))
                process.stdin.write(b"begin\n")
                process.stdin.flush()
                assert process.stdout.readline() == b"noted\n"
            process.stdin.close()
        assert process.returncode == 0
    with capture.open("rb") as file:
        reader = Reader(file)
        selection = Selection.of(reader.meta, 0, ())
        recording_ = load(reader, selection)
        file.seek(0)
        batches = [batch for batch in Reader(file) if isinstance(batch, Calls)]
        stacks = dict(pair for calls in batches for pair in stacks_of(calls, recording_.heads))
        (folder / "nothing").mkdir()
        find_binary = Binaries(root=str(folder / "nothing")).find
        report = make_report(recording_, selection, find_binary)
    return Recorded(list(map(json.loads, notes.read_text().splitlines())), report, stacks, capture, find_binary)


def has_stack(capture: Path) -> bool:
    """Return whether a capture that is being written has a stack."""
    with capture.open("rb") as file:
        try:
            return any(isinstance(record, Stack) for record in Reader(file))
        except CaptureError:  # it has just begun
            return False


def stacks_of(calls: Calls, heads: CallHeads) -> Iterator[tuple[tuple[bytes, int], int]]:
    connections, sequences = calls.columns["connection"].cast("Q"), calls.columns["sequence"].cast("I")
    roles, stacks = calls.columns["role"], calls.columns["stack"].cast("Q")
    for row in range(calls.rows):
        request, _ = heads_of(heads, connections[row], sequences[row])
        yield (request[:REQUEST_SIZE], roles[row]), stacks[row]


def javascript_frames(trace: StackTrace) -> list[Frame]:
    return [frame for frame in trace.frames if frame.kind is FrameKind.JAVASCRIPT]


def agrees(frame: Frame, noted: list[Any], *, exactly: bool) -> bool:
    """Return whether a frame is the noted one. Unless exactly, it may lack its line, or all that was proven."""
    name, file, line = noted
    if frame.unnamed is not None:
        return not exactly
    has_line = frame.line == line or (not exactly and frame.line is None and (frame.first_line or 0) <= line)
    return (frame.name, frame.file) == (name or ANONYMOUS, file or ANONYMOUS) and has_line


@pytest.fixture(scope="module", autouse=True)
def recorder() -> None:
    needs_a_recorder()


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_every_frame_is_the_one_that_v8_names(node: str, tmp_path: Path) -> None:
    recorded = record(node, tmp_path, *STEADY)
    assert len(recorded.notes) > 40
    for situation, noted, trace in recorded.traces():
        frames = javascript_frames(trace)
        if situation in OPTIMIZED:
            continue
        assert trace.incomplete is None, situation
        assert len(frames) == len(noted), situation
        for frame, one in zip(frames, noted):
            exactly = situation not in NEW and one[1] is not None and not one[1].startswith("node:")
            assert agrees(frame, one, exactly=exactly), situation


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_no_frame_has_another_name_without_options(node: str, tmp_path: Path) -> None:
    recorded = record(node, tmp_path)
    named = total = 0
    for situation, noted, trace in recorded.traces():
        frames = javascript_frames(trace)
        is_inlined = situation in OPTIMIZED  # what is inlined has no frame
        assert len(frames) == len(noted) or is_inlined, situation
        pairs = list(zip(frames, noted))[: 1 if is_inlined else None]
        assert all(agrees(frame, one, exactly=False) for frame, one in pairs), situation
        named += sum(frame.name is not None for frame in frames)
        total += len(frames)
    assert named > 0.9 * total


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_a_redacted_capture_gives_the_same_stack_traces_without_folders(node: str, tmp_path: Path) -> None:
    recorded = record(node, tmp_path)
    redacted_data = redacted(recorded.capture.read_bytes(), recorded.find_binary)
    assert str(PROGRAMS).encode() not in decompressed(redacted_data)
    report = reported(redacted_data, find_binary=recorded.find_binary)
    assert traces(report) == traces(recorded.report)


@pytest.mark.parametrize("as_files", ["", "1"], ids=["eval", "files"])
@pytest.mark.parametrize("options", [("--expose-gc",), ()], ids=["collected", "under pressure"])
@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_a_function_that_was_replaced_or_moved_gets_no_other_name(
    node: str, options: tuple[str, ...], as_files: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AS_FILES", as_files)
    recorded = record(node, tmp_path, *options, program=PROGRAMS / "replaced.cjs", count=REPLACED)
    assert len(recorded.notes) == REPLACED
    for situation, _, trace in recorded.traces():
        frames = javascript_frames(trace)
        assert {frame.name for frame in frames if MADE.fullmatch(frame.name or "")} <= {situation}
        assert {frame.unnamed for frame in frames} <= {None, Unnamed.FUNCTION_MOVED}
