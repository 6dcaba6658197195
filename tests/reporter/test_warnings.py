"""Check that a report warns of whatever a reader could misread, with the consequence, and is silent otherwise."""

from __future__ import annotations

import io
import re

import pytest

from httpcapture import End, Lost, Reader
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from httpreport.common import tuning
from httpreport.report.warnings import Cause, incomplete, warnings_of
from support.recordings import MS, STARTED_NS, Row, capture


def cautioned(data: bytes, milliseconds: float | None = None, *names: str) -> tuple[Recording, list[tuple[Cause, str]]]:
    reader = Reader(io.BytesIO(data))
    selection = Selection.of(reader.meta, milliseconds, names)
    recording = load(reader, selection)
    return recording, [(warning.cause, warning.text) for warning in warnings_of(recording, selection)]


def test_a_whole_capture_needs_no_caution() -> None:
    recording, said = cautioned(capture())

    assert said == []
    assert not incomplete(recording)


def test_a_threshold_below_the_captures_own() -> None:
    _, said = cautioned(capture(), 50)

    assert said == [
        (
            Cause.THRESHOLD,
            "-t 50 is below the capture's threshold of 100 ms: "
            "calls shorter than 100 ms are not listed: they were recorded without stacks and what they "
            "ask for, or not at all",
        )
    ]


def test_a_name_outside_the_captures_own_filter() -> None:
    recording, said = cautioned(capture(process_filters=(b"nova*",)), None, "nova-api", "nginx", "n*")

    assert said == [
        (
            Cause.FILTER,
            "-p nginx, n* is outside the capture's own filter (nova*): "
            "calls of other processes were not recorded and are missing here",
        )
    ]
    assert not incomplete(recording)


@pytest.mark.parametrize("counts", [{"call_ring_full": 3, "stack_ring_full": 1}, {"new\x1bcause": 1}])
def test_every_loss_is_reported_by_cause_the_largest_first(counts: dict[str, int]) -> None:
    end = End(STARTED_NS, "signal", True, 1, 1, 0, counts)

    for data in (capture(end=end), capture(records=[Lost(STARTED_NS, counts)])):
        recording, said = cautioned(data)
        assert [cause for cause, _ in said] == [Cause.LOST] * len(counts)
        assert [int(re.findall(r": (\d+) ", text)[0]) for _, text in said] == sorted(counts.values(), reverse=True)
        assert "\x1b" not in repr(said)
        assert recording.lost == counts
        assert incomplete(recording)


def test_the_ledger_keeps_the_highest_count_of_each_cause() -> None:
    recording, _ = cautioned(capture(records=[Lost(1, {"a": 2, "b": 0}), Lost(2, {"a": 5}), Lost(3, {"b": 0})]))

    assert recording.lost == {"a": 5}


def test_a_loss_is_reported_with_the_times_between_which_it_was_seen() -> None:
    counts = [{"a": 0}, {"a": 2}, {"a": 2, "b": 1}, {"a": 5}, {"a": 5}]
    records = [Lost(STARTED_NS + second * 1000 * MS, each) for second, each in enumerate(counts)]
    recording, said = cautioned(capture(records=records))

    assert recording.lost_between == {
        "a": (STARTED_NS + 1000 * MS, STARTED_NS + 3000 * MS),
        "b": (STARTED_NS + 2000 * MS, STARTED_NS + 2000 * MS),
    }
    assert [re.findall(r"\(.*, (.*)\)", text)[0] for _, text in said] == [
        "2023-11-14T22:13:21 to 2023-11-14T22:13:23 UTC",
        "2023-11-14T22:13:22 UTC",
    ]


def test_a_capture_without_its_end() -> None:
    recording, said = cautioned(capture(end=False))

    assert [cause for cause, _ in said] == [Cause.CUT_OFF]
    assert said[0][1].startswith("the capture is cut off (")
    assert len(recording.calls) == 1
    assert incomplete(recording)


def test_damage_in_the_middle_keeps_what_stands_before_it() -> None:
    first, whole = len(capture(rows=[], end=False)), bytearray(capture())
    whole[first + 40] ^= 0xFF

    recording, said = cautioned(bytes(whole))

    assert [cause for cause, _ in said][:1] == [Cause.CUT_OFF]
    assert "damaged at byte" in said[0][1]
    assert recording.recorded == 0


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (End(STARTED_NS, "no space left", False, 1, 1, 0, {}), "could not finish (no space left)"),
        (End(STARTED_NS, "signal", True, 5, 5, 0, {}), "1 of 5 calls were read"),
    ],
)
def test_an_end_that_is_not_as_it_should_be(end: End, words: str) -> None:
    _, said = cautioned(capture(end=end))

    assert [cause for cause, _ in said] == [Cause.CUT_OFF]
    assert words in said[0][1]


@pytest.mark.parametrize("limit", ["MAX_HELD_BYTES", "MAX_TOTALS_BYTES"])
def test_what_takes_too_much_memory_ends_the_reading(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything read until then is reported."""
    rows = [Row(sequence=number, stack=number, peer=f"10.0.{number >> 8}.{number & 255}") for number in range(30_000)]
    data = capture(rows, threshold_ns=0)
    assert cautioned(data, 0)[1] == []
    monkeypatch.setattr(tuning, limit, 5_000_000)

    recording, said = cautioned(data, 0)

    assert 0 < recording.recorded < 30_000
    assert len(recording.calls) == recording.kept == recording.recorded
    ((cause, text),) = said
    assert cause is Cause.CUT_OFF
    assert text.startswith("the capture was not read to its end, because what is kept of it takes too much memory")
    assert text.endswith(f": calls after the first {recording.recorded:,} are missing")
    assert incomplete(recording)


def test_calls_that_end_before_they_begin() -> None:
    recording, said = cautioned(capture([Row(), Row(duration_ns=-5)]), 0)

    assert (Cause.DAMAGE, "calls that end before they begin: 1 (damage): they are shown with 0 ms") in said
    assert incomplete(recording)


def test_a_filter_that_matches_nothing_lists_the_existing_processes() -> None:
    rows = [Row(process=b"nginx", duration_ns=ms * MS) for ms in (120, 150)] + [Row(process=b"\x1bz", comm=b"x")]

    _, said = cautioned(capture(rows), None, "nova")

    assert said == [
        (
            Cause.NOTHING_KEPT,
            "no call of nova is in the capture, which has only calls of at least 100 ms; processes in the capture: "
            "nginx (2, slowest 150 ms), \\x1bz (1, slowest 250 ms)",
        )
    ]


def test_an_empty_capture_says_so() -> None:
    assert cautioned(capture(rows=[]))[1] == [(Cause.NOTHING_KEPT, "the capture holds no call")]


def test_a_host_that_slept_is_reported_and_no_call_is_missing() -> None:
    end = End(STARTED_NS, "signal", True, 1, 1, 0, {}, slept_ns=66_200_500_000)
    recording, said = cautioned(capture(rows=[Row()], end=end))
    ((cause, text),) = said
    assert cause is Cause.SLEPT and text.startswith("the host was suspended for 66.2 s during this recording: ")
    assert not incomplete(recording)


def test_python_frames_that_could_not_be_followed_have_the_reason() -> None:
    _, said = cautioned(capture(python_problem="the kernel is \x1bold"))

    assert said == [
        (
            Cause.PYTHON,
            "the recorder could not follow frames of Python and PHP, so stack traces have native frames only: "
            "the kernel is \\x1bold",
        )
    ]
