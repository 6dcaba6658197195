"""Check that heads of calls are kept where more connections are open than there are slots, or that they are counted."""

from __future__ import annotations

import io
import resource
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from httpbpf.program import Sizes
from httpcapture import Calls, Reader
from httpreport.capture.loader import KeepNothing, load
from support.head_records import heads_of
from support.recorders import needs_a_recorder
from workload.recorder import recording

PAIRS = Sizes().head_slots // 2 + 100  # each takes two slots, because both ends are of this host
SLOW_S = 0.06
OPTIONS = ("-t", "50", "-q", "--probes", "tracepoint", "--modules", "none", "--stack", "fp")


class Pair:
    """Hold both ends of a connection."""

    def __init__(self, listening: socket.socket, ends: ExitStack) -> None:
        self.client = ends.enter_context(socket.create_connection(listening.getsockname()))
        self.server = ends.enter_context(listening.accept()[0])

    def ask(self, path: str) -> None:
        self.client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert self.server.recv(1000)

    def answer(self) -> None:
        self.server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert self.client.recv(1000)


@contextmanager
def pairs(count: int) -> Iterator[Sequence[Pair]]:
    """Open so many connections, with this process at both ends."""
    needs_a_recorder()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * count:
        pytest.skip(f"a process may have only {hard} files open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as ends:
        listening = ends.enter_context(socket.create_server(("127.0.0.1", 0)))
        yield [Pair(listening, ends) for _ in range(count)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def requests_of(capture: Path) -> tuple[list[bytes], int]:
    """Return the first line of the request of each call of this process, empty if not known, and how many calls lack
    their heads by the ledger."""
    loaded = load(Reader(io.BytesIO(capture.read_bytes())), KeepNothing())
    found = []
    for batch in Reader(io.BytesIO(capture.read_bytes())):
        if isinstance(batch, Calls):
            connections = np.frombuffer(batch.columns["connection"], "<u8").tolist()
            keys = zip(connections, np.frombuffer(batch.columns["sequence"], "<u4").tolist())
            found += [heads_of(loaded.heads, *key)[0].split(b"\n")[0] for key in keys]
    return found, loaded.lost.get("head_slots_used_up", 0)


def test_connections_that_rest_give_their_slots_to_others(tmp_path: Path) -> None:
    capture = tmp_path / "run.cap"
    with pairs(PAIRS) as opened, recording(capture, *OPTIONS):
        *resting, last = opened
        for pair in resting:
            pair.ask("/quick")
            pair.answer()
        time.sleep(2.1)  # a connection rests after two seconds
        for pair, path in ((last, "/new"), (resting[0], "/again")):
            pair.ask(path)
            time.sleep(SLOW_S)
            pair.answer()
    found, lost = requests_of(capture)
    assert found.count(b"GET /new HTTP/1.1") == found.count(b"GET /again HTTP/1.1") == 2
    assert not lost


def test_a_call_that_is_in_flight_at_the_end_has_its_request(tmp_path: Path) -> None:
    capture = tmp_path / "run.cap"
    with pairs(1) as opened, recording(capture, *OPTIONS):
        opened[0].ask("/in/flight")
        time.sleep(SLOW_S)
    found, lost = requests_of(capture)
    assert (found.count(b"GET /in/flight HTTP/1.1"), lost) == (2, 0)


def test_a_call_without_a_slot_is_counted(tmp_path: Path) -> None:
    capture = tmp_path / "run.cap"
    with pairs(PAIRS) as opened, recording(capture, *OPTIONS):
        for number, pair in enumerate(opened):
            pair.ask(f"/calls/{number}")
        time.sleep(SLOW_S)
        for pair in opened:
            pair.answer()
    found, lost = requests_of(capture)
    known = [line for line in found if line.startswith(b"GET /calls/")]
    assert len(known) + lost >= 2 * PAIRS and lost
    assert set(known) <= {b"GET /calls/%d HTTP/1.1" % number for number in range(PAIRS)}
    assert max(map(known.count, set(known))) == 2
