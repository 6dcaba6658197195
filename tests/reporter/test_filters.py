"""Check which calls each filter keeps, and which filters a capture's own filter already covers."""

from __future__ import annotations

import io
import itertools

import pytest

from httpcapture import Outcome, Reader, Role
from httpcapture.process_names import matches
from httpreport.calls.filters import Filters, Peer, Selection, covered
from httpreport.calls.protocol import Kind
from httpreport.calls.time_options import parse
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from httpreport.report.warnings import warnings_of
from support.recordings import META, MS, Row, capture


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


PEERS = [
    ("10.0.0.1", {"v4", "v4-81"}),
    ("10.0.0.1:81", {"v4-81"}),
    ("2001:db8::", {"v6"}),
    ("[2001:db8::]:80", {"v6"}),
    ("[2001:db8::]", {"v6"}),
    ("::ffff:10.0.0.1", {"v4", "v4-81"}),
    ("[2001:db8::]:81", set()),
]


@pytest.mark.parametrize(("text", "hit"), PEERS)
def test_a_peer_is_an_address_and_maybe_a_port(text: str, hit: set[str]) -> None:
    rows = [
        Row(comm=b"v4", peer="10.0.0.1"),
        Row(comm=b"v4-81", peer="10.0.0.1", peer_port=81),
        Row(comm=b"v6", peer="2001:db8::"),
    ]

    found = filtered(rows, Filters(peers=(Peer.parse(text),)))

    assert {name.decode() for name in found.calls["comm"].tolist()} == hit


@pytest.mark.parametrize("text", ["", "nginx", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536", "[::1", "::1]:80", "1.2.3"])
def test_an_invalid_peer_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Peer.parse(text)


@pytest.mark.parametrize(
    ("filters", "hit"),
    [
        (Filters(pids=(2, 3)), [1, 2]),
        (Filters(roles=(Role.SERVER,)), [1]),
        (Filters(kinds=(Kind.TLS,)), [2]),
        (Filters(outcomes=(Outcome.EOF, Outcome.RESET)), [0]),
        (Filters(since=parse("+1s")), [1, 2]),
        (Filters(until=parse("+1s")), [0]),
        (Filters(since=parse("2023-11-14T22:13:21Z"), until=parse("22:13:22")), [1]),
        (Filters(pids=(2,), kinds=(Kind.TLS,)), []),
    ],
)
def test_every_filter_must_agree_and_of_its_values_any(filters: Filters, hit: list[int]) -> None:
    """The recording began at 22:13:20."""
    rows = [
        Row(pid=1, outcome=Outcome.EOF),
        Row(pid=2, sequence=1, role=Role.SERVER, start_ns=1000 * MS),
        Row(pid=3, sequence=2, start_ns=2000 * MS, request_head=b"\x16\x03\x01", response_head=b"\x16\x03\x03"),
    ]

    assert filtered(rows, filters).calls["sequence"].tolist() == hit


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (
            Filters(pids=(7,)),
            "no call that passes the filters (pid 7) is in the capture; processes in the capture: a (1,",
        ),
        (Filters(pids=(7,)), "; pids in the capture: 1 (1, slowest 250 ms), 2 (1,"),
        (Filters(peers=(Peer.parse("[::2]:9"),)), "(peer [::2]:9) is in the capture; "),
        (
            Filters(peers=(Peer.parse("::2"),)),
            "; peers in the capture: 192.168.1.20:80 (1, slowest 250 ms), [::1]:80",
        ),
        (Filters(roles=(Role.UNKNOWN,)), "; roles in the capture: client (2, slowest 250 ms)"),
        (Filters(kinds=(Kind.TLS,)), "; kinds in the capture: http (2, slowest 250 ms)"),
        (Filters(outcomes=(Outcome.RESET,)), "; outcomes in the capture: answered (2, slowest 250 ms)"),
        (
            Filters(since=parse("+1h")),
            "(since +1h) is in the capture; processes in the capture: a (1, slowest 250 ms), "
            "b (1, slowest 250 ms); calls in the capture began from 2023-11-14T22:13:20.000000+00:00 to "
            "2023-11-14T22:13:21.000000+00:00",
        ),
    ],
)
def test_a_filter_that_matches_nothing_lists_the_existing_values(filters: Filters, said: str) -> None:
    rows = [Row(process=b"a", pid=1), Row(process=b"b", pid=2, peer="::1", start_ns=1000 * MS)]
    found = filtered(rows, filters)

    (warning,) = warnings_of(found, Selection(0, (), filters))

    assert said in warning.text


def filtered(rows: list[Row], filters: Filters) -> Recording:
    reader = Reader(io.BytesIO(capture(rows, threshold_ns=0)))
    return load(reader, Selection.of(reader.meta, None, (), filters))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+30s", (30_000 * MS, "start")),
        ("+1.5h", (5_400_000 * MS, "start")),
        ("+250ms", (250 * MS, "start")),
        ("19:06", (68_760_000 * MS, "midnight")),
        ("19:06:48.5", (68_808_500 * MS, "midnight")),
        ("1970-01-02T00:00:00Z", (86_400_000 * MS, "epoch")),
        ("1970-01-02T01:00:00.250+01:00", (86_400_250 * MS, "epoch")),
    ],
)
def test_time_options_are_read_as_points_in_time(text: str, expected: tuple[int, str]) -> None:
    assert (parse(text).ns, parse(text).since) == expected


@pytest.mark.parametrize("text", ["", "30s", "+30", "+1d", "25:00", "12:60", "now", "2026-13-01", "+1e9s"])
def test_an_invalid_time_option_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_a_time_of_day_is_that_of_the_day_on_which_the_recording_began() -> None:
    assert parse("22:13:20").on(META) == META.started_monotonic_ns
    assert parse("2023-11-14T22:13:20").on(META) == META.started_monotonic_ns
