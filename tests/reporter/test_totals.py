"""Check that sums and quantiles equal those of the calls, and that two captures' merged equal those of one with all the
calls."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Calls, End, Layout, Reader, Role, Writer
from httpreport.calls.filters import Selection
from httpreport.calls.lazy_table import LazyTable, column_types
from httpreport.calls.schema import RECORDED
from httpreport.calls.totals import Latencies, PeerKey, StackKey, Totals
from httpreport.capture.loader import KeepNothing, load
from httpreport.capture.recording import Recording
from httpreport.common import tuning
from httpreport.redact.calls import call_row, layout
from support.recordings import META, MS, STARTED_NS, Row, capture, completion, packed_address

ROWS = st.builds(
    Row,
    duration_ns=st.one_of(st.integers(0, 10 * MS), st.integers(0, 1 << 62)),
    process=st.sampled_from([b"a", b"nova-api", b""]),
    stack=st.integers(0, 2),
    stack_status=st.integers(0, 2),
    peer=st.sampled_from(["10.0.0.1", "::1"]),
    peer_port=st.integers(1, 2),
    role=st.integers(0, 3),
)


def loaded(rows: Sequence[Row], completions: Sequence[bytes] = ()) -> Recording:
    return load(Reader(io.BytesIO(capture(rows, completions=completions))), Selection(0))


def durations_by_key(found: Recording) -> tuple[dict[StackKey, list[int]], dict[PeerKey, list[int]]]:
    stacks: dict[StackKey, list[int]] = {}
    peers: dict[PeerKey, list[int]] = {}
    for call in found.calls:
        duration = int(call["t2"] - call["t0"])
        status, role = int(call["stack_status"]), int(call["role"])
        stack = StackKey(call["process"], status, int(call["stack"]) if status == 0 else 0)
        port = int(call["peer_port"]) if role == Role.CLIENT else 0
        own_port = int(call["local_port"]) if role == Role.SERVER else 0
        stacks.setdefault(stack, []).append(duration)
        key = PeerKey(call["process"], role, call["peer_address"], port, own_port)
        peers.setdefault(key, []).append(duration)
    return stacks, peers


@given(st.lists(ROWS, max_size=20))
def test_totals_equal_those_of_the_calls(rows: list[Row]) -> None:
    found = loaded(rows)

    stacks, peers = durations_by_key(found)
    totals = {key: of(durations) for key, durations in stacks.items()}
    assert dict(found.by_stack) == totals
    assert {key: latencies.totals for key, latencies in found.by_peer.items()} == {
        key: of(durations) for key, durations in peers.items()
    }
    for key, latencies in found.by_peer.items():
        for share in (0.5, 0.9, 0.99):
            exact = sorted(peers[key])[math.ceil(share * len(peers[key])) - 1]
            assert latencies.quantile_ns(share) == pytest.approx(exact, rel=0.004, abs=1)


def of(durations: list[int]) -> Totals:
    return Totals(len(durations), sum(durations), sum(each // 1000 for each in durations), max(durations))


@given(st.lists(ROWS, max_size=8), st.lists(ROWS, max_size=8))
def test_merged_totals_of_two_captures_equal_those_of_one_with_all_calls(first: list[Row], second: list[Row]) -> None:
    one, other, both = loaded(first), loaded(second), loaded([*first, *second])

    for key in {*one.by_stack, *other.by_stack}:
        assert one.by_stack.get(key, Totals()) + other.by_stack.get(key, Totals()) == both.by_stack[key]
    nothing = Latencies(Totals(), {})
    for peer in {*one.by_peer, *other.by_peer}:
        assert one.by_peer.get(peer, nothing) + other.by_peer.get(peer, nothing) == both.by_peer[peer]


def in_groups(data: bytes) -> bytes:
    """Return the same calls in httprec's layout, in which the calls of a connection form a group."""
    stream = io.BytesIO()
    writer = Writer(stream, replace(META, call_layout=layout(call_row(META))))
    for record in Reader(io.BytesIO(data)):
        if isinstance(record, Calls):
            columns = LazyTable(column_types(META.call_layout, RECORDED), [record], record.rows)
            writer.calls(columns.to_array(call_row(META)).tobytes())
    writer.end(End(STARTED_NS, "signal", True, 0, 0, 0))
    return stream.getvalue()


@given(st.lists(ROWS, max_size=20))
def test_the_sums_of_calls_in_groups_are_the_same(rows: list[Row]) -> None:
    one_by_one = capture([replace(row, connection=row.peer_port) for row in rows])
    grouped = in_groups(one_by_one)
    for keep in (Selection(0), KeepNothing(["processes", "pids", "roles", "peers", "kinds", "outcomes"])):
        found, wanted = (load(Reader(io.BytesIO(data)), keep) for data in (grouped, one_by_one))

        assert found.by_stack == wanted.by_stack
        assert found.by_peer == wanted.by_peer
        assert found.available.values() == wanted.available.values()
        assert sorted(found.calls.tolist()) == sorted(wanted.calls.tolist())


def test_a_grouped_field_with_the_name_of_a_derived_column_is_left_alone() -> None:
    known = call_row(META)
    row = np.dtype([("kind", "<u8"), *((name, known[name]) for name in known.names or ())], align=True)
    kinds, *others = layout(row).fields
    rows = np.zeros(3, row)
    rows["kind"], rows["response_head"] = 7, [b"HTTP/1.1 200 OK", b"\x16\x03\x03", b"HTTP/1.1 200 OK"]
    stream = io.BytesIO()
    writer = Writer(stream, replace(META, call_layout=Layout(row.itemsize, [replace(kinds, coding="group"), *others])))
    writer.calls(rows.tobytes())
    writer.flush()

    available = load(Reader(io.BytesIO(stream.getvalue())), KeepNothing(["kinds"])).available

    assert {kind: totals.calls for kind, totals in available.values()["kinds"].items()} == {"http": 2, "tls": 1}


def test_batches_that_are_read_together_or_apart_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row(duration_ns=n * MS, sequence=n, process=b"p%d" % (n % 7), stack=n % 5) for n in range(5000)]
    together = loaded(rows)
    monkeypatch.setattr(tuning, "CALLS_FILTERED_AT_ONCE", 1)

    apart = loaded(rows)

    assert dict(apart.by_stack) == dict(together.by_stack)
    assert dict(apart.by_peer) == dict(together.by_peer)
    assert apart.calls.tolist() == together.calls.tolist()


def test_beyond_the_limit_the_longest_calls_are_listed_and_all_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_LISTED", 100)
    monkeypatch.setattr(tuning, "CALLS_FILTERED_AT_ONCE", 50)
    rows = [Row(duration_ns=(n * 7919 % 5000) * MS, sequence=n) for n in range(5000)]
    ends = [completion(row, MS, 1, 2) for row in rows]

    found = loaded(rows, ends)

    longest = sorted(sorted(rows, key=lambda row: -row.duration_ns)[:100], key=lambda row: row.sequence)
    assert found.calls["sequence"].tolist() == [row.sequence for row in longest]
    assert (found.calls["t3"] - found.calls["t2"]).tolist() == [MS] * 100
    assert (found.kept, sum(totals.calls for totals in found.by_stack.values())) == (5000, 5000)


def test_completions_are_found_for_the_few_calls_that_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "ADD_UP_AFTER_CALLS", 40)
    monkeypatch.setattr(tuning, "CALLS_FILTERED_AT_ONCE", 8)
    stream = io.BytesIO()
    writer = Writer(stream, META)
    for number in range(100):
        rows = [Row((300 if n == 0 else 3) * MS, connection=number, sequence=n) for n in range(10)]
        writer.calls(b"".join(row.packed() for row in rows))
        writer.completions(b"".join(completion(row, 7 * MS, 1, 2) for row in rows))
        writer.flush()

    calls = load(Reader(io.BytesIO(stream.getvalue())), Selection(300 * MS)).calls

    assert (calls["t3"] - calls["t2"]).tolist() == [7 * MS] * 100


@pytest.mark.parametrize("most", [7, 200])
def test_selected_calls_equal_those_of_all_whenever_they_are_asked_for(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "MAX_LISTED", 150)
    monkeypatch.setattr(tuning, "CALLS_FILTERED_AT_ONCE", 50)
    rows = [Row(duration_ns=(n * 7919 % 300) * MS, sequence=n, connection=n // 9) for n in range(300)]
    found = loaded(rows, [completion(row, MS, n, 2) for n, row in enumerate(rows)])
    places = np.arange(len(found.listed))[3::2][:most]

    before, all_calls, after = found.some_calls(places), found.calls, found.some_calls(places)

    assert len(all_calls) == 150
    assert before.tolist() == all_calls[places].tolist() == after.tolist()
    assert found.listed.values("pid").tolist() == all_calls["pid"].tolist()
    assert found.listed.durations.tolist() == (all_calls["t3"] - all_calls["t0"]).tolist()


def test_a_completion_may_come_before_its_call() -> None:
    others = [completion(Row(connection=2, sequence=n), MS, 1, 2) for n in range(30)]
    stream = io.BytesIO()
    writer = Writer(stream, META)
    for ends in (others, [completion(Row(), 7 * MS, 1, 2)], others[:15]):
        writer.completions(b"".join(ends))
        writer.flush()
    writer.calls(Row().packed())
    writer.flush()

    (call,) = load(Reader(io.BytesIO(stream.getvalue())), Selection(0)).calls

    assert call["t3"] - call["t2"] == 7 * MS


def test_a_peers_address_is_as_recorded() -> None:
    (key,) = loaded([Row(peer="2001:db8::", role=Role.SERVER)]).by_peer

    assert key == PeerKey(b"nova-api", Role.SERVER, packed_address("2001:db8::").rstrip(b"\0"), 0, 40000)


@pytest.mark.parametrize("coding", ["", "planes", "delta"])
@pytest.mark.parametrize("milliseconds", [0, 1, 2500, 4500, 4990, 4999, 5000])
def test_few_or_many_calls_of_several_batches_are_kept(
    milliseconds: int, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "CALLS_FILTERED_AT_ONCE", 4000)
    monkeypatch.setattr(tuning, "ADD_UP_AFTER_CALLS", 8000)
    rows = [Row((n * 7919 % 5000) * MS, connection=n // 400, sequence=n, pid=n, sent=7 * n) for n in range(20_000)]
    coded = [replace(field, coding=field.coding or coding * (field.type == "u64")) for field in META.call_layout.fields]
    call_layout = replace(META.call_layout, fields=coded)

    found = load(Reader(io.BytesIO(capture(rows, call_layout=call_layout))), Selection(milliseconds * MS))

    kept = [row for row in rows if row.duration_ns >= milliseconds * MS]
    assert found.calls["sequence"].tolist() == [row.sequence for row in kept]
    assert found.calls["pid"].tolist() == [row.pid for row in kept]
    assert found.calls["sent"].tolist() == [row.sent for row in kept]
    assert found.calls["connection"].tolist() == [row.connection for row in kept]
    assert sum(totals.time_ns for totals in found.by_stack.values()) == sum(row.duration_ns for row in kept)
