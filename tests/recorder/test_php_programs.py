"""Record PHP programs on this machine, and compare their frames with what PHP itself says of them.

The PHP on PATH is taken, and those named in PHPS (paths of executables, separated by colons).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from httpcapture import Calls, Reader
from httpreport.calls.call_heads import CallHeads
from httpreport.languages.php_stack import MAIN
from httpreport.languages.stack_trace import FrameKind, StackTrace, Unnamed
from support.capture_bytes import decompressed
from support.echo_server import echo_server
from support.head_records import heads_of
from support.python_frames import REQUEST_SIZE, SIDES, Recorded, read
from support.recorders import needs_a_recorder
from support.redactions import redacted, traces
from support.reports import reported
from workload.recorder import recording

PROGRAMS = Path(__file__).parents[1] / "workload" / "php_situations"
NAME = "phpprogram"  # of the processes that are recorded
ROOM = ("--stack-ring", "65536")
REPLACED = 1000
VERSIONS = ("8.2", "8.4")
FREED = ("include", "eval", "closure of eval")  # situations with code that is freed


def phps() -> dict[str, str]:
    """Return the executables of the PHPs on this machine by their versions."""
    found: dict[str, str] = {}
    for candidate in filter(None, [*os.environ.get("PHPS", "").split(":"), shutil.which("php")]):
        code = "echo PHP_VERSION, ' ', PHP_ZTS, ' ', PHP_BINARY;"
        told = subprocess.run([candidate, "-r", code], capture_output=True, text=True, check=False).stdout.split()
        if len(told) == 3 and told[0].startswith(VERSIONS) and told[1] == "0":
            found.setdefault(told[0], told[2])
    return found


PHPS = phps()


def record(php: str, folder: Path, *options: str, replaced: int = 0, languages: str = "php") -> Recorded:
    """Record the situations in a PHP, and report them as on a machine that has no binaries."""
    capture = folder / "run.cap"
    (folder / NAME).symlink_to(os.path.realpath(php))
    for side in SIDES:
        (folder / side).touch()
    with echo_server() as port:
        script = [str(PROGRAMS / "main.php"), str(folder / "client"), str(port), str(replaced)]
        command = [str(folder / NAME), *options, *script]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin and process.stdout
            how = ("-t", "0", "-q", "-p", NAME, "--probes", "tracepoint", "--languages", languages, *ROOM)
            with recording(capture, *how):
                process.stdin.write(b"begin\n")
                process.stdin.flush()
                assert process.stdout.readline() == b"noted\n"
        assert process.returncode == 0
    return by_request(read(capture))


def by_request(recorded: Recorded) -> Recorded:
    """Return it with the stacks by what was kept of the requests, since a row has no path."""
    with recorded.capture.open("rb") as file:
        batches = [batch for batch in Reader(file) if isinstance(batch, Calls)]
    heads = recorded.report.recording.heads
    return recorded._replace(stacks=dict(pair for calls in batches for pair in stacks_of(calls, heads)))


def stacks_of(calls: Calls, heads: CallHeads) -> Iterator[tuple[tuple[int, bytes], int]]:
    connections, sequences = calls.columns["connection"].cast("Q"), calls.columns["sequence"].cast("I")
    roles, stacks = bytes(calls.columns["role"]), calls.columns["stack"].cast("Q")
    for row in range(calls.rows):
        request, _ = heads_of(heads, connections[row], sequences[row])
        yield (roles[row], request[:REQUEST_SIZE]), stacks[row]


def php_frames(trace: StackTrace) -> list[list[Any]]:
    """Return [function, file, line] of each PHP frame, as they are noted."""
    return [[frame.name, frame.file, frame.line] for frame in trace.frames if frame.kind is FrameKind.PHP]


def assert_agrees(situation: str, noted: list[list[Any]], trace: StackTrace) -> None:
    """Raise AssertionError unless a stack trace has all frames that PHP named, and no other. Code outside of functions
    that is freed once it has run may have no name, and of generators that delegate only the one that runs has."""
    assert trace.php_problem is None, situation
    frames = [frame for frame in trace.frames if frame.kind is FrameKind.PHP]
    found = php_frames(trace)
    if situation == "yield from":
        place = next(number for number, frame in enumerate(frames) if frame.unnamed is Unnamed.GENERATORS)
        assert noted.pop(place)[0] == "Shop\\delegating"
        del frames[place], found[place]
    assert len(found) == len(noted), situation
    for frame, one, expected in zip(frames, found, noted):
        was_freed = frame.unnamed is Unnamed.CODE_GONE and situation in FREED and expected[0] == MAIN
        assert one == expected or was_freed, situation


@pytest.fixture(scope="module", autouse=True)
def recorder() -> None:
    needs_a_recorder()


@pytest.mark.parametrize("php", PHPS.values(), ids=PHPS)
def test_every_frame_is_the_one_that_php_names(php: str, tmp_path: Path) -> None:
    recorded = record(php, tmp_path)
    assert len(recorded.notes["client"]) > 50
    for situation, noted, trace in recorded.traces():
        assert_agrees(situation, noted, trace)


@pytest.mark.parametrize("php", PHPS.values(), ids=PHPS)
def test_code_that_is_replaced_in_place_has_its_own_name_or_none(php: str, tmp_path: Path) -> None:
    recorded = record(php, tmp_path, replaced=REPLACED)
    replaced = [each for each in recorded.traces() if each[0].startswith("replaced")]
    assert len(replaced) > REPLACED
    for situation, noted, trace in replaced:
        frames = [frame for frame in trace.frames if frame.kind is FrameKind.PHP]
        assert {frame.unnamed for frame in frames} <= {None, Unnamed.CODE_GONE, Unnamed.CODE_NOT_RECORDED}, situation
        found = [one if frame.name else None for one, frame in zip(php_frames(trace), frames)]
        assert len(found) == len(noted)
        assert all(one in (None, wanted) for one, wanted in zip(found, noted)), situation


@pytest.mark.parametrize("php", PHPS.values(), ids=PHPS)
def test_the_program_cache_in_shared_memory_changes_no_frame(php: str, tmp_path: Path) -> None:
    recorded = record(php, tmp_path, "-d", "opcache.enable_cli=1", "-d", "opcache.jit=disable")
    for situation, noted, trace in recorded.traces():
        assert_agrees(situation, noted, trace)


@pytest.mark.parametrize("jit", ["tracing", "function"])
@pytest.mark.parametrize("php", PHPS.values(), ids=PHPS)
def test_code_that_is_compiled_at_run_time_has_the_same_frames(php: str, jit: str, tmp_path: Path) -> None:
    settings = ("opcache.enable_cli=1", f"opcache.jit={jit}", "opcache.jit_buffer_size=16M")
    recorded = record(php, tmp_path, *(word for setting in settings for word in ("-d", setting)))
    for situation, noted, trace in recorded.traces():
        assert_agrees(situation, noted, trace)


@pytest.mark.parametrize("php", PHPS.values(), ids=PHPS)
def test_a_redacted_capture_gives_the_same_stack_traces_without_folders(php: str, tmp_path: Path) -> None:
    recorded = record(php, tmp_path)
    redacted_data = redacted(recorded.capture.read_bytes(), recorded.find_binary)
    assert str(PROGRAMS).encode() not in decompressed(redacted_data)
    report = reported(redacted_data, find_binary=recorded.find_binary)
    assert traces(report) == traces(recorded.report)


@pytest.mark.parametrize("php", PHPS.values(), ids=PHPS)
def test_nothing_of_php_is_recorded_unless_it_is_asked_for(php: str, tmp_path: Path) -> None:
    recorded = record(php, tmp_path, languages="python")
    assert {frame.kind for trace in recorded.report.traces for frame in trace.frames} == {FrameKind.NATIVE}
    assert {trace.php_problem for trace in recorded.report.traces} == {None}
