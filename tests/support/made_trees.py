"""Make the rows of trees of calls between programs whose threads handle one request at a time, so that all causes are
sure. Each call has both its ends."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from httpcapture import Role, StackStatus
from support.recordings import MS, Row

SERVER_PORT = 8000
LATENCY_NS = MS // 10


@dataclass
class Made:
    """Hold a request that a program makes of a tier, when, how long it takes, and the calls that are made for it."""

    tier: int
    start_ns: int
    duration_ns: int
    calls: list[Made]


class World:
    """Make trees. Tier 0 is asked by `load`, and asks tier 1, and so on."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.rows: list[Row] = []
        self._connection = 0
        self._tids: dict[int, int] = {}

    def request(self, tier: int, at: int, tiers: int, *, at_once: bool = False) -> Made:
        """Return a random request that begins then."""
        made, begin = Made(tier, at, 0, []), at
        at += self.draw.randrange(2, 6) * MS
        latest = at
        for _ in range(self.draw.randrange(0, 4) if tier + 1 < tiers else 0):
            call = self.request(tier + 1, at, tiers, at_once=at_once)
            made.calls.append(call)
            latest = max(latest, call.start_ns + call.duration_ns)
            at = at + self.draw.randrange(1, 3) * MS if at_once else latest + self.draw.randrange(0, 3) * MS
        made.duration_ns = latest + self.draw.randrange(1, 5) * MS - begin
        return made

    def record(self, made: Made, client_tid: int = 1) -> None:
        """Add the rows of both ends of the request and of all calls that are made for it."""
        self._connection += 1
        tid = 1000 * (made.tier + 1) + self._connection
        common = Row(
            stack_status=StackStatus.NOT_TAKEN,
            request_seq=self._connection,
            response_seq=self._connection,
            local="10.0.0.1",
            peer="10.0.0.2",
            local_port=40000 + self._connection % 20000,
            peer_port=SERVER_PORT + made.tier,
        )
        client = replace(
            common,
            connection=2 * self._connection,
            start_ns=made.start_ns,
            duration_ns=made.duration_ns,
            process=f"tier{made.tier - 1}".encode() if made.tier else b"load",
            pid=made.tier + 1,
            tid=client_tid,
            receive_tid=client_tid,
        )
        server = replace(
            common,
            connection=2 * self._connection + 1,
            role=Role.SERVER,
            start_ns=made.start_ns + LATENCY_NS,
            duration_ns=made.duration_ns - 2 * LATENCY_NS,
            local=common.peer,
            local_port=common.peer_port,
            peer=common.local,
            peer_port=common.local_port,
            process=f"tier{made.tier}".encode(),
            pid=made.tier + 2,
            tid=tid,
            receive_tid=tid,
        )
        self.rows += [client, server]
        for call in made.calls:
            self.record(call, tid)
