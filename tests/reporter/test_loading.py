"""Check how batches become calls: completions are joined, impossible times corrected, other versions' layouts read or
refused."""

from __future__ import annotations

import io
import json
import re
from dataclasses import astuple, replace
from typing import Any

import msgpack
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Field, Layout, Lost, Outcome, Reader, Record, StackStatus
from httpcapture.addresses import address_text
from httpcapture.frames import FrameReader
from httpreport.calls.call import Call
from httpreport.calls.filters import Selection
from httpreport.calls.lazy_table import ImpossibleTimes, column_types
from httpreport.calls.schema import CALL, RECORDED, exact_sum, longest_first
from httpreport.capture.loader import load
from httpreport.capture.recording import Recording
from httpreport.common.errors import ReportError
from httpreport.report.report import Report
from httpreport.report.warnings import Cause, incomplete
from support.recordings import (
    CALL_LAYOUT,
    COMPLETION_LAYOUT,
    META,
    MS,
    STARTED_NS,
    TEXT,
    Row,
    capture,
    completion,
    packed_address,
    process,
    stack,
)
from support.reports import json_text, reported


def loaded(data: bytes) -> Recording:
    return load(Reader(io.BytesIO(data)), Selection(0))


def test_call_has_the_fields_of_the_dtype() -> None:
    named = {"duration_ns": "duration"}
    assert tuple(named.get(name, name) for name in Call._fields) == CALL.names


def test_every_field_of_a_row_arrives() -> None:
    row = Row(local="10.0.0.1", peer="2001:db8::", request_head=b"POST /a ", response_head=b"HTTP/1.1 500 Int")

    calls = loaded(capture([row])).calls

    call = Call._make(calls[0].item())
    assert (call.t0, call.t1, call.t2, call.t3) == (STARTED_NS, STARTED_NS, *[STARTED_NS + 250 * MS] * 2)
    assert (call.comm, call.process, call.pid, call.tid) == (b"nova-api", b"nova-api", 12345, 12346)
    assert (call.source, call.destination) == (("10.0.0.1", 40000), ("2001:db8::", 80))
    assert (call.sent, call.received, call.size, call.stack) == (112, 400, 512, 256)
    assert (call.method, call.status) == (b"POST", 500)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(0, 1 << 40)), max_size=12), st.data())
def test_completions_are_joined_as_a_dictionary_would(found: list[tuple[int, int, int]], data: st.DataObject) -> None:
    keys = [(connection, sequence) for connection in range(1, 4) for sequence in range(3)]
    rows = [Row(connection=connection, sequence=sequence) for connection, sequence in data.draw(st.permutations(keys))]
    completions = [
        completion(Row(connection=connection, sequence=sequence), after, sent=after % 7, received=after % 5)
        for connection, sequence, after in found
    ]
    latest: dict[tuple[int, int], int] = {}
    for connection, sequence, after in found:
        latest[connection, sequence] = max(after, latest.get((connection, sequence), 0))

    calls = loaded(capture(rows, completions=completions)).calls

    assert {(call["connection"], call["sequence"]) for call in calls} == {*keys}
    for call in map(Call._make, calls.tolist()):
        end = latest.get((call.connection, call.sequence))
        joined = (0, Row.sent, Row.received) if end is None else (end, end % 7, end % 5)
        assert (call.t3 - call.t2, call.sent, call.received) == joined


def test_a_completion_whose_time_cannot_be_does_not_hide_another() -> None:
    row = Row()
    later = ((1 << 64) - 1 - STARTED_NS - row.duration_ns, 3, 3)

    (call,) = loaded(capture([row], completions=[completion(row, MS, 1, 2), completion(row, *later)])).calls

    assert (call["t3"] - call["t2"], call["sent"], call["received"]) == (MS, 1, 2)


def test_a_completion_belongs_to_both_of_two_indistinguishable_calls() -> None:
    rows = [Row(), Row(start_ns=MS)]

    calls = loaded(capture(rows, completions=[completion(rows[0], 5 * MS, 1, 2)])).calls

    assert (calls["t3"] - calls["t2"]).tolist() == [5 * MS, 4 * MS]
    assert calls["received"].tolist() == [2, 2]


def test_completions_of_other_calls_change_nothing() -> None:
    others = [completion(Row(connection=2, sequence=n), MS, 1, 1) for n in range(3)]

    (call,) = loaded(capture([Row()], completions=others)).calls

    assert (call["t3"] - call["t2"], call["sent"], call["received"]) == (0, Row.sent, Row.received)


def test_without_a_completion_the_end_is_known_unless_completions_were_lost_or_cut_off() -> None:
    lost = [Lost(1, {"completion_ring_full": 1})]

    assert loaded(capture()).calls["t3_known"].tolist() == [True]
    assert loaded(capture(records=lost)).calls["t3_known"].tolist() == [False]
    assert loaded(capture(end=False)).calls["t3_known"].tolist() == [False]
    ended = completion(Row(), MS, 1, 1)
    assert loaded(capture(records=lost, completions=[ended])).calls["t3_known"].tolist() == [True]


@pytest.mark.parametrize(("outcome", "known"), [(Outcome.EOF, True), (Outcome.IN_FLIGHT, False), (9, False)])
def test_a_call_without_an_answer_ends_at_t2(outcome: int, known: bool) -> None:
    row = Row(outcome=outcome)

    calls = loaded(capture([row], completions=[completion(row, MS, 1, 1)])).calls

    assert calls["t3"].tolist() == calls["t2"].tolist()
    assert calls["t3_known"].tolist() == [known]


def test_impossible_times_are_mended_and_counted() -> None:
    rows = [
        Row(),
        Row(duration_ns=-1),
        Row(duration_ns=1 << 63),
        Row(start_ns=(1 << 64) - 1 - STARTED_NS, duration_ns=0),
        Row(request_ns=300 * MS),
    ]

    recording = loaded(capture(rows))

    calls = recording.calls
    assert (calls["t2"] - calls["t0"]).tolist() == [250 * MS, 0, 0, 0, 250 * MS]
    assert recording.impossible == ImpossibleTimes(backwards=1, beyond=2)
    assert calls["duration"].tolist() == [250 * MS, 0, 0, 0, 250 * MS]
    assert all((calls[a] <= calls[b]).all() for a, b in (("t0", "t1"), ("t1", "t2"), ("t2", "t3")))


@given(st.lists(st.integers(0, (1 << 64) - 1)))
def test_a_sum_does_not_wrap_around(values: list[int]) -> None:
    assert exact_sum(np.array(values, np.uint64)) == sum(values)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))))
def test_the_longest_come_first_of_equally_long_ones_the_earliest(calls: list[tuple[int, int]]) -> None:
    durations, began = (np.array([call[field] for call in calls], np.uint64) for field in (0, 1))

    order = longest_first(durations, began).tolist()

    assert order == sorted(range(len(calls)), key=lambda place: (-calls[place][0], calls[place][1]))


def test_a_field_that_is_missing_or_too_wide_is_named() -> None:
    missing = Layout(CALL_LAYOUT.size, [field for field in CALL_LAYOUT.fields if field.name != "outcome"])
    renamed = {"sequence": "u64", "http2_error": "u64"}
    offsets = {"sequence": 32, "http2_error": 40}
    fields = [
        replace(field, type=renamed.get(field.name, field.type), offset=offsets.get(field.name, field.offset))
        for field in COMPLETION_LAYOUT.fields
    ]

    for odd in ("bytes0", "bytes016", "bytes99999999999999", "bytes16x"):
        fields_of_call = [replace(field, type=odd) if field.name == "comm" else field for field in CALL_LAYOUT.fields]
        with pytest.raises(ReportError, match=r"'comm'.*newer httpreport"):
            column_types(Layout(CALL_LAYOUT.size, fields_of_call), RECORDED)
    with pytest.raises(ReportError, match=r"'outcome'.*newer httpreport"):
        loaded(capture(call_layout=missing))
    with pytest.raises(ReportError, match=r"'sequence' is u64.*newer httpreport"):
        loaded(capture(completions=[bytes(48)], completion_layout=Layout(48, fields)))


@pytest.mark.parametrize(("name", "kind"), [("comm", "u32"), ("process", "u8"), ("pid", "bytes4")])
def test_a_number_is_no_text_and_a_text_no_number(name: str, kind: str) -> None:
    fields = [replace(field, type=kind) if field.name == name else field for field in CALL_LAYOUT.fields]

    with pytest.raises(ReportError, match=rf"'{name}' is {kind}, .*newer httpreport"):
        column_types(Layout(CALL_LAYOUT.size, fields), RECORDED)


def test_a_field_that_is_coded_in_a_later_way_is_named() -> None:
    fields = [
        replace(field, coding="later\n" if field.name == "sent" else field.coding) for field in CALL_LAYOUT.fields
    ]

    with pytest.raises(ReportError, match=r"'sent' is coded in a way.*later\\x0a.*newer httpreport"):
        column_types(Layout(CALL_LAYOUT.size, fields), RECORDED)


def changed(name: str, **change: Any) -> Layout:
    """Return the layout of calls with one field changed."""
    fields = [replace(field, **change) if field.name == name else field for field in CALL_LAYOUT.fields]
    return Layout(CALL_LAYOUT.size, fields)


NETWORK = {
    **{"connect_ns": 7, "handshake_ns": 8, "round_trip_ns": 9000},
    **{"segments": 5, "retransmitted": 2, "out_of_order": 1},
}
COLUMNS: dict[str, Any] = {
    **{"connect_time": 7, "handshake_time": 8, "round_trip": 9},
    **{"segments": 5, "retransmitted": 2, "out_of_order": 1},
}
WITHOUT: dict[str, dict[str, Any]] = {
    "cgroup": {"cgroup": None},
    "role_source": {},
    "request_seq": {},
    "response_seq": {},
    "receive_tid": {"receive_tid": 0},
    "request_head": {"method": None},
    "response_head": {"status": None},
    "receive_stack": {"receive_trace": None},
    "receive_stack_status": {"receive_trace": None},
    "stack_is_late": {"stack_is_late": False},
    "first_byte_is_guess": {"first_byte_is_guess": False},
    "is_encrypted": {"encrypted": None},
    **{column: {"network": {**NETWORK, name: None}} for column, name in zip(COLUMNS, NETWORK)},
    "http2_error": {"http2_error": None},
}
"""The fields that no number depends on, and what is not known of a call without each of them."""


@pytest.mark.parametrize("name", WITHOUT)
def test_a_call_is_reported_without_a_field_that_no_number_depends_on(name: str) -> None:
    marks: dict[str, Any] = {"stack_is_late": 1, "first_byte_is_guess": 1, "is_encrypted": 1, "http2_error": 8}
    row = Row(receive_tid=7, receive_stack=300, receive_stack_status=StackStatus.RECORDED, **marks, **COLUMNS)
    records: list[Record] = [process(), stack(TEXT), stack(TEXT + 8, id=300)]
    odd, packed = changed(name, type="f64"), changed(name, coding="zip\n")
    known = json_calls(reported(capture([row], records)))[0]
    unknown = {field for changes in WITHOUT.values() for field in changes}
    assert all(known[field] is not None for field in unknown) and known["encrypted"] and known["stack_is_late"]

    for layout, why in ((odd, "is f64, which"), (packed, r"is coded in a way that .* know \(zip\\x0a\)")):
        data = with_layout(capture([row], records), layout)
        report = reported(data, milliseconds=None)

        assert json_calls(report)[0] == {**known, **WITHOUT[name]}
        ((cause, text),) = [(warning.cause, warning.text) for warning in report.warnings]
        assert cause is Cause.FIELDS
        assert re.fullmatch(f"the capture's field '{name}' {why}.*: it is unknown for all calls", text)
        assert incomplete(report.recording)


@pytest.mark.parametrize("name", [name for name in RECORDED.names or () if name not in WITHOUT])
def test_no_call_is_reported_without_a_field_that_a_number_depends_on(name: str) -> None:
    missing = Layout(CALL_LAYOUT.size, [field for field in CALL_LAYOUT.fields if field.name != name])
    may_be_missing = {"t3", "judged_by", "stream"}  # from older captures

    for layout in (*[missing] * (name not in may_be_missing), changed(name, type="f64"), changed(name, coding="zip")):
        with pytest.raises(ReportError, match=f"field '{name}'.*: use a newer httpreport"):
            column_types(layout, RECORDED)


def json_calls(report: Report) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = json.loads(json_text(report, "run.cap"))["calls"]
    return calls


def with_layout(data: bytes, layout: Layout) -> bytes:
    """Return the capture with another layout of calls in META, which the writer would refuse to write."""
    frames = FrameReader(io.BytesIO(data))
    head, meta = msgpack.Unpacker(io.BytesIO(next(iter(frames))))
    meta[13] = [layout.size, [[*astuple(field)] for field in layout.fields]]
    content = msgpack.packb(head) + msgpack.packb(meta)
    return data[:24] + zstandard.ZstdCompressor(write_checksum=True).compress(content) + data[frames.position :]


def test_a_field_that_is_new_does_not_matter() -> None:
    size = CALL_LAYOUT.size
    longer = Layout(size + 8, [*CALL_LAYOUT.fields, Field("later", "u64", size)])

    data = capture(call_layout=longer, rows=[])
    assert loaded(data).recorded == 0
    row = type("Longer", (), {"packed": lambda self: Row().packed() + bytes(8)})()
    assert loaded(capture([row], call_layout=longer)).calls["pid"].tolist() == [12345]


def test_a_capture_older_than_the_receiving_sides_stack_has_none_of_them() -> None:
    older = Layout(CALL_LAYOUT.size, [field for field in CALL_LAYOUT.fields if not field.name.startswith("receive_s")])

    calls = loaded(
        capture([Row(receive_stack=256, receive_stack_status=StackStatus.RECORDED)], call_layout=older)
    ).calls

    assert (calls["receive_stack"].tolist(), calls["receive_stack_status"].tolist()) == ([0], [StackStatus.NOT_TAKEN])


@pytest.mark.parametrize("text", ["192.168.1.10", "0.0.0.0", "::", "::1", "2001:db8::1", "fe80::", "1.2.3.0"])
def test_addresses_are_printed_as_ipv4_where_they_are(text: str) -> None:
    assert address_text(packed_address(text)) == text
    assert address_text(packed_address(text).rstrip(b"\0")) == text


def test_the_builder_uses_the_recorders_layout() -> None:
    assert META.call_layout.size == len(Row().packed())
