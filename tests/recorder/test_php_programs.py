"""Record PHP programs on this machine, and compare their frames with what PHP itself says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from httpreport.languages.stack_trace import FrameKind, Unnamed
from support.capture_bytes import decompressed
from support.php_programs import PHPS, PROGRAMS, assert_agrees, php_frames, record
from support.recorders import needs_a_recorder
from support.redactions import redacted, traces
from support.reports import reported

REPLACED = 1000


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
