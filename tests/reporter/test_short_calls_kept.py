"""Check that what is checked and redacted in a capture includes its calls below the threshold."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from httpcapture import Calls, Connections, Layout, Reader, Role, RowBatch, ShortCalls
from httpreport.calls.lazy_table import LazyTable, column_types
from httpreport.calls.schema import CONNECTION, RECORDED, SHORT, Array
from httpreport.cli.main import main
from support.capture_samples import META
from support.recordings import MS, Row, capture
from support.redactions import redacted
from support.reports import no_binary

SLOW = Row(connection=1, request_seq=11, response_seq=12)
SHORT_CALLS = [
    Row(connection=1, sequence=2, duration_ns=5 * MS, request_seq=12, response_seq=13),
    Row(connection=2, sequence=1, duration_ns=6 * MS, request_seq=11, role=Role.SERVER, peer="127.0.0.1"),
]


def rows(data: bytes) -> tuple[Array, Array, Array]:
    """Return the calls, the calls below the threshold and their connections in a capture."""
    reader = Reader(io.BytesIO(data))
    records, meta = list(reader), reader.meta
    return (
        table([one for one in records if isinstance(one, Calls)], meta.call_layout, RECORDED),
        table([one for one in records if isinstance(one, ShortCalls)], meta.short_layout, SHORT),
        table([one for one in records if isinstance(one, Connections)], meta.connection_layout, CONNECTION),
    )


def table(batches: Sequence[RowBatch], layout: Layout, wanted: np.dtype[np.void]) -> Array:
    return LazyTable(column_types(layout, wanted), batches, sum(one.rows for one in batches)).to_array(wanted)


def test_redaction_keeps_times_and_sizes_and_which_numbers_are_equal() -> None:
    data = capture([SLOW], short=SHORT_CALLS)
    _, before, _ = rows(data)
    calls, after, connections = rows(redacted(data, no_binary))
    for name in set(SHORT.names or ()) - {"request_seq", "response_seq"}:
        assert (after[name] == before[name]).all(), name
    assert after["request_seq"].tolist() == [calls["response_seq"][0], calls["request_seq"][0]]
    assert len(set(after["request_seq"].tolist() + after["response_seq"].tolist()) - {0}) == 3
    assert {11, 12, 13}.isdisjoint({*after["request_seq"].tolist(), *calls["request_seq"].tolist()})
    assert np.unique(connections["local_address"]).tolist() == np.unique(calls["local_address"]).tolist()
    assert after["t0"].tolist() == [META.started_monotonic_ns] * 2
    assert b"\x7f\0\0\1" in connections["peer_address"][connections["connection"] == 2].tobytes()


def test_a_capture_without_them_has_none_when_it_is_redacted() -> None:
    data = redacted(capture([SLOW]), no_binary)
    assert not [record for record in Reader(io.BytesIO(data)) if isinstance(record, (Connections, ShortCalls))]


def verified(data: bytes, folder: Path) -> str:
    path = folder / "run.cap"
    path.write_bytes(data)
    return CliRunner().invoke(main, [str(path), "--verify"]).stdout


def test_verify_counts_them(tmp_path: Path) -> None:
    said = verified(capture([SLOW], short=SHORT_CALLS), tmp_path)
    assert ": whole: " in said and "2 calls below the threshold" in said and "2 connections" in said


def test_verify_finds_impossible_times(tmp_path: Path) -> None:
    backwards = replace(SHORT_CALLS[0], duration_ns=-MS)
    said = verified(capture([SLOW], short=[backwards]), tmp_path)
    assert "damaged" in said and "calls that end before they begin: 1" in said
