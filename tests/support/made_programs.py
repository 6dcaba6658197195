"""Make the calls of programs whose true causes are known."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np

from httpcapture import Outcome, Role
from httpreport.calls.cause_columns import NO_CAUSE
from httpreport.calls.causes import Causes
from httpreport.calls.certainty import Certainty
from httpreport.calls.schema import CALL, Array

Rows = list[dict[str, Any]]


class Program:
    """Make the calls of one process: requests, each of which asks a peer some times, one after the other. `cause` of a
    row is the place of its request."""

    def __init__(self, seed: int, name: bytes = b"shop", pid: int = 1) -> None:
        self.draw = random.Random(seed)
        self.name, self.pid = name, pid
        self.rows: Rows = []

    def add(self, role: Role, t0: int, t3: int, tid: int, **others: Any) -> int:
        common = {"process": self.name, "pid": self.pid, "outcome": Outcome.ANSWERED, "has_end": True}
        times = {"t0": t0, "t1": t0, "t2": t3, "t3": t3, "tid": tid, "receive_tid": tid}
        self.rows.append({**common, **times, "role": role, "cause": NO_CAUSE, "shape": 0, **others})
        return len(self.rows) - 1

    def request(self, at: int, calls: int, server_tid: int, client_tid: int) -> int:
        """Add a request that begins then, and return when it ends."""
        draw, request = self.draw, self.add(Role.SERVER, at, at, server_tid)
        for _ in range(calls):
            at += draw.randrange(1, 50)
            end = at + draw.randrange(1, 500)
            self.add(Role.CLIENT, at, end, client_tid, cause=request)
            at = end
        end = at + draw.randrange(1, 50)
        self.rows[request].update(t2=end, t3=end)
        return end

    def threads(self, threads: int, requests: int) -> None:
        """Let each thread handle requests one after the other."""
        for tid in range(1, threads + 1):
            at = self.draw.randrange(1000)
            for _ in range(requests):
                at = self.request(at, self.draw.randrange(1, 4), tid, tid) + self.draw.randrange(1, 300)

    def event_loop(self, at_once: int, requests: int) -> None:
        """Let one thread handle requests, so many at once."""
        for _ in range(at_once):
            at = self.draw.randrange(1000)
            for _ in range(requests):
                at = self.request(at, self.draw.randrange(1, 4), 1, 1) + self.draw.randrange(1, 30)

    def turns(self, turns: int, share_of_two: float) -> None:
        """Let one thread take one request at each turn of its loop, or two, and then make a call for each, whose ends
        it waits for while other turns follow."""
        at = 0
        for _ in range(turns):
            requests = list[int]()
            for _ in range(1 + (self.draw.random() < share_of_two)):
                at += self.draw.randrange(1, 5)
                requests.append(self.add(Role.SERVER, at, at, 1))
            for request in requests:
                at += self.draw.randrange(1, 5)
                end = at + self.draw.randrange(100, 500)
                self.add(Role.CLIENT, at, end, 1, cause=request)
                self.rows[request].update(t2=end + 20, t3=end + 20)
            at += self.draw.randrange(1, 100)

    def background(self, tid: int, shape: int, end: int) -> None:
        """Let a thread make calls on nobody's behalf, one after the other."""
        at = 0
        while at < end:
            last = at + self.draw.randrange(1, 200)
            self.add(Role.CLIENT, at, last, tid, shape=shape)
            at = last + 1


def table(rows: Rows) -> Array:
    calls = np.zeros(len(rows), CALL)
    for place, row in enumerate(rows):
        for name in row.keys() - {"cause", "shape"}:
            calls[name][place] = row[name]
    return calls


def said(rows: Rows, of: Causes) -> Counter[tuple[Certainty, bool]]:
    """Count for client calls which certainty their cause has, and whether it is the true one."""
    truth = [row["cause"] for row in rows]
    return Counter(
        (Certainty(of.certainty[place]), of.indices[place] == truth[place])
        for place, row in enumerate(rows)
        if row["role"] == Role.CLIENT
    )
