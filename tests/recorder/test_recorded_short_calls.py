"""Record calls below the threshold, and compare each with what its two ends say of it by their own clock, which is the
recorder's (tests/workload/short_calls.py)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from httpcapture import Calls, Connections, Lost, Meta, Record, Role, RowBatch, ShortCalls, open_capture
from httpreport.calls.lazy_table import LazyTable, column_types
from httpreport.calls.schema import CONNECTION, RECORDED, SHORT, Array
from support.commands import TESTS
from support.programs import running
from support.recorders import needs_a_recorder
from workload.recorder import recording

NAME = "shortcalls"  # a process of its own, so that the rest of the host is not recorded
CONNECTIONS, CALLS, SLOW_MS, THRESHOLD_MS = 6, 200, 300, 100


class Recorded(NamedTuple):
    """Hold what was recorded, and for each connection its client's port and what its two ends say of its calls."""

    records: Sequence[Record]
    log: list[tuple[int, list[list[int]], list[list[int]]]]

    def rows(self, kind: type[RowBatch]) -> Array:
        """Return all rows of a kind."""
        meta = next(record for record in self.records if isinstance(record, Meta))
        layout, wanted = {
            Calls: (meta.call_layout, RECORDED),
            ShortCalls: (meta.short_layout, SHORT),
            Connections: (meta.connection_layout, CONNECTION),
        }[kind]
        batches = [record for record in self.records if isinstance(record, kind)]
        return LazyTable(column_types(layout, wanted), batches, sum(batch.rows for batch in batches)).to_array(wanted)

    @property
    def counted(self) -> int:
        """Return how many calls ended below the threshold."""
        return sum(self._last_lost.durations)

    def lost(self, cause: str) -> int:
        return self._last_lost.counts.get(cause, 0)

    @property
    def _last_lost(self) -> Lost:
        return [record for record in self.records if isinstance(record, Lost)][-1]


def recorded(folder: Path, calls: int, *options: str) -> Recorded:
    needs_a_recorder()
    program = folder / NAME
    program.symlink_to(os.path.realpath(sys.executable))
    workload = (program, TESTS / "workload" / "short_calls.py", str(CONNECTIONS), str(calls))
    capture = folder / "run.cap"
    with running(*workload, "--slow-ms", str(SLOW_MS)) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        settings = ("-t", str(THRESHOLD_MS), "--probes", "tracepoint", "-p", NAME, "-q", "--modules", "none")
        with recording(capture, *settings, *options):
            process.stdin.write("\n")
            process.stdin.flush()
            log: Any = json.loads(process.stdout.readline())
    with open_capture(capture) as reader:
        return Recorded(list(reader), log)


@pytest.fixture(scope="module")
def all_rows(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return recorded(tmp_path_factory.mktemp("all"), CALLS)


def of_connection(found: Recorded, port: int, role: Role) -> Array:
    """Return the short calls of one end of a connection in their order, found by the client's port."""
    connections, calls = found.rows(Connections), found.rows(ShortCalls)
    (connection,) = connections[connections["local_port" if role == Role.CLIENT else "peer_port"] == port]
    assert connection["process"] == NAME.encode()
    mine = calls[(calls["connection"] == connection["connection"]) & (calls["pid"] == connection["pid"])]
    return np.asarray(mine[np.argsort(mine["sequence"])])


def test_every_call_below_the_threshold_is_there_once_at_each_end(all_rows: Recorded) -> None:
    assert all_rows.counted == len(all_rows.rows(ShortCalls)) == 2 * CONNECTIONS * (CALLS - 1)
    for port, _, _ in all_rows.log:
        for role in (Role.CLIENT, Role.SERVER):
            mine = of_connection(all_rows, port, role)
            assert mine["sequence"].tolist() == list(range(1, CALLS))
            assert set(mine["role"].tolist()) == {role}


def test_their_times_are_those_that_both_ends_give(all_rows: Recorded) -> None:
    for port, asked, served in all_rows.log:
        client, server = (of_connection(all_rows, port, role) for role in (Role.CLIENT, Role.SERVER))
        (sent, answered), (received, answering) = (np.array(log[:-1]).T for log in (asked, served))
        assert (sent <= client["t0"]).all() and (client["t3"] <= answered).all()
        assert (server["t0"] <= received).all() and (answering <= server["t2"]).all()
        assert (client["t0"] <= server["t0"]).all() and (server["t2"] <= client["t2"]).all()


def test_both_ends_have_the_same_bytes_and_sequence_numbers(all_rows: Recorded) -> None:
    for port, _, _ in all_rows.log:
        client, server = (of_connection(all_rows, port, role) for role in (Role.CLIENT, Role.SERVER))
        for ours, theirs in (("sent", "received"), ("received", "sent"), *[(name, name) for name in NUMBERS]):
            assert (client[ours] == server[theirs]).all()
        assert (np.diff(client["request_seq"]) == client["sent"][:-1]).all()  # modulo 2^32, as the type is


NUMBERS = ("request_seq", "response_seq")


def test_those_that_the_ring_has_no_room_for_are_counted_and_no_slow_call_is_lost(tmp_path: Path) -> None:
    found = recorded(tmp_path, 2000, "--call-ring", "4")
    rows = found.rows(ShortCalls)
    assert found.counted == 2 * CONNECTIONS * 1999
    assert 0 < found.lost("short_ring_full") == found.counted - len(rows)
    end = found.records[-1]
    assert end.recorded + end.lost.get("call_ring_full", 0) == 2 * CONNECTIONS  # type: ignore[union-attr]


def test_each_stream_of_http2_is_there_once_at_each_end(tmp_path: Path) -> None:
    """Slow ones are among the calls, and the others are short."""
    needs_a_recorder()
    node = shutil.which("node")
    if not node:
        pytest.skip("node is not installed")
    capture = tmp_path / "run.cap"
    with recording(capture, "-t", "200", "--probes", "tracepoint", "-p", "node", "-q"):
        run = subprocess.Popen([node, TESTS / "workload" / "node_streams.js"], stdout=subprocess.PIPE, text=True)
        own = json.loads(run.communicate()[0])
    with open_capture(capture) as reader:
        found = Recorded(list(reader), [])
    asked = {int(stream): ns for stream, ns in own["asked"].items()}
    for role in (Role.CLIENT, Role.SERVER):
        slow, short = (
            rows[(rows["pid"] == run.pid) & (rows["role"] == role) & (rows["stream"] != 0)]
            for rows in (found.rows(Calls), found.rows(ShortCalls))
        )
        assert sorted([*slow["stream"].tolist(), *short["stream"].tolist()]) == sorted(asked)
        assert role == Role.SERVER or all(call["t3"] - call["t0"] <= asked[call["stream"]] for call in short)


def test_they_are_counted_only_if_only_slow_ones_are_asked_for(tmp_path: Path) -> None:
    found = recorded(tmp_path, 10, "--rows", "slow")
    assert found.counted == 2 * CONNECTIONS * 9
    assert not [record for record in found.records if isinstance(record, (Connections, ShortCalls))]
