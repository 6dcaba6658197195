"""-t and -p keep the calls that they say, and a capture's own filter covers what it covers."""

from __future__ import annotations

import io
import itertools

import pytest
from recordings import MS, Row, capture

from httpcapture import Reader
from httpreport.recording import Recording, load
from httpreport.selection import Selection, covered, matches


def loaded(data: bytes, *names: str, milliseconds: float | None = None) -> Recording:
    reader = Reader(io.BytesIO(data))
    return load(reader, Selection.of(reader.meta, milliseconds, names))


@pytest.mark.parametrize(
    ("name", "comm", "hit"),
    [
        (b"nova-api", b"nova-api", True),
        (b"nova", b"nova-api", False),
        (b"Nova-api", b"nova-api", False),
        (b"nova*", b"nova-api", True),
        (b"NOVA*", b"nova-api", False),
        (b"nova-ap?", b"nova-api", True),
        (b"[mn]ova-api", b"nova-api", True),
        (b"*", b"", True),
        (b"nova-scheduler-worker", b"nova-scheduler-", True),  # 15 bytes, as the kernel keeps it
        (b"nova-scheduler", b"nova-scheduler-", False),
        (b"nova-scheduler-worker*", b"nova-scheduler-", False),
        (b"api.v2", b"apixv2", False),
    ],
)
def test_names_match_exactly_or_as_a_shell_pattern(name: bytes, comm: bytes, hit: bool) -> None:
    assert matches(name, comm) is hit


@pytest.mark.parametrize(
    ("name", "filters", "is_covered"),
    [
        (b"nova-api", [b"nova-api"], True),
        (b"nova-api", [b"nginx", b"nova*"], True),
        (b"nginx", [b"nova*"], False),
        (b"nova*", [b"nova*"], True),
        (b"nova*", [b"nova-api"], False),
        (b"nova-a*", [b"nova*"], False),  # is covered, but nobody can say so of any two patterns
    ],
)
def test_coverage_by_the_captures_own_filter(name: bytes, filters: list[bytes], is_covered: bool) -> None:
    assert covered(name, tuple(filters)) is is_covered


def test_a_name_matches_the_thread_or_the_process() -> None:
    rows = [
        Row(comm=b"worker-1", process=b"nova-api"),
        Row(comm=b"nova-api", process=b"python3"),
        Row(comm=b"", process=b""),
    ]
    data = capture(rows)

    recording = loaded(data, "nova-api")

    assert recording.calls["comm"].tolist() == [b"worker-1", b"nova-api"]
    assert recording.recorded == 3


def test_the_threshold_is_the_shortest_duration_that_is_kept() -> None:
    data = capture([Row(duration_ns=nanoseconds) for nanoseconds in (300 * MS - 1, 300 * MS, 300 * MS + 1)])

    assert len(loaded(data, milliseconds=300).calls) == 2
    assert len(loaded(data).calls) == 3  # the capture's own threshold: 100 ms
    assert len(loaded(data, milliseconds=300.000001).calls) == 1


def test_a_capture_of_all_calls_filtered_equals_a_capture_of_the_filtered_calls() -> None:
    names, durations = (b"nova-api", b"nginx", b"nova"), (1, 299, 300, 900)
    rows = [Row(duration_ns=ms * MS, comm=name, process=name) for name, ms in itertools.product(names, durations)]
    wanted = [row for row in rows if row.comm == b"nova-api" and row.duration_ns >= 300 * MS]

    everything = loaded(capture(rows, threshold_ns=0), "nova-api", milliseconds=300)
    filtered = loaded(capture(wanted, threshold_ns=300 * MS, process_filters=(b"nova-api",)))

    assert everything.calls.tolist() == filtered.calls.tolist()
    assert len(filtered.calls) == 2
