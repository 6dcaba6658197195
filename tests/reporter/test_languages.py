"""Check that the languages of the registry name code that no file holds, and can change complete stack traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from httpcapture import JitMap, Stack
from httpreport.capture.recording import Recording
from httpreport.languages.greenlets import START, up_to_start
from httpreport.languages.language import Language, Runtime
from httpreport.languages.stack_trace import Frame, Incomplete, StackTrace, Unnamed
from httpreport.symbols import symbolizer
from httpreport.unwind import Found
from support.recordings import PROCESS_START_NS, STARTED_NS, Row, capture, process, stack
from support.reports import reported

CODE = 0x7F0000000000
MAPS = b"%x-%x rwxp 00000000 00:00 0 \n" % (CODE, CODE + 0x1000)


class Told:
    """Give the same answers for every stack."""

    def __init__(self, frames: Sequence[Frame] | Unnamed | None, last: str = "") -> None:
        self._frames, self._last = frames, last

    def __call__(self, recording: Recording) -> Language:
        return self

    def at(self, stack: Stack, depths: Sequence[int]) -> Runtime:
        return self

    def frames(self, address: int, inside: int) -> Sequence[Frame] | Unnamed | None:
        return self._frames

    def finish(self, trace: StackTrace) -> StackTrace:
        return replace(trace, frames=(*trace.frames, Frame(0, name=self._last))) if self._last else trace


def trace(*records: JitMap) -> StackTrace:
    data = capture([Row(stack=256)], [*records, process(MAPS), stack(CODE + 8)])
    return reported(data, milliseconds=None).trace(0)


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        ([], Unnamed.ANONYMOUS),
        ([Told(None)], Unnamed.ANONYMOUS),
        ([Told(Unnamed.NO_SYMBOL), Told(None)], Unnamed.NO_SYMBOL),
        ([Told(Unnamed.NO_SYMBOL), Told([Frame(1, name="f")]), Told([Frame(1, name="g")])], "f"),
    ],
)
def test_the_first_language_that_names_code_counts(
    languages: list[Told], expected: Unnamed | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symbolizer, "LANGUAGES", languages)

    assert [frame.name or frame.unnamed for frame in trace().frames] == [expected]


def test_each_language_finishes_what_those_before_it_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbolizer, "LANGUAGES", [Told([Frame(1, name="f")], "first"), Told(None, "second")])

    assert [frame.name for frame in trace().frames] == ["f", "first", "second"]


def test_a_jit_map_without_functions_is_no_missing_jit_map() -> None:
    empty = JitMap(12345, PROCESS_START_NS, STARTED_NS + 9, 0, b"")

    assert [frame.unnamed for frame in trace().frames] == [Unnamed.ANONYMOUS]
    assert [frame.unnamed for frame in trace(empty).frames] == [Unnamed.NOT_IN_JIT_MAP]


@pytest.mark.parametrize(("found", "kept"), [(Found.CFI, 2), (None, 3)])
def test_only_an_unwound_stack_trace_is_cut_at_the_start_of_a_greenlet(found: Found | None, kept: int) -> None:
    frames = tuple(Frame(number, name=name, found=found) for number, name in enumerate(("f", START, "g")))
    cut = up_to_start(StackTrace(frames))

    assert (len(cut.frames), cut.incomplete) == (kept, Incomplete.GREENLET if kept < 3 else None)
