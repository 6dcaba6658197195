"""Stage requests of services whose times are known, as the rows of a capture: who holds the time of each request, which
calls it makes, and what the recorder would have seen of that.

A service works in steps: it holds the request itself for a while, or asks others, one after the other or at once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from httpcapture import Record, Role, StackStatus
from support.head_records import Asked, head_records
from support.recordings import MS, Row, capture

SOON_NS = MS // 20  # from one end of a call to the other
READ_NS = 1000  # before a service begins with its work


@dataclass(frozen=True)
class Service:
    """Describe a service. Of one that is not recorded, only the calls of others to it are."""

    name: str
    port: int
    is_recorded: bool = True
    places: tuple[str, ...] = ("10.0.0.2",)  # its addresses, which are asked in turn

    @property
    def authority(self) -> str:
        return f"{self.name}:{self.port}"


@dataclass(frozen=True)
class Ask:
    """Say what a service asks another one for, and what that does to answer."""

    service: Service
    path: str = "/"
    steps: Sequence[Step] = ()
    status: int = 200


Step = int | Ask | tuple[Ask, ...]
"""ns that a service takes itself, one call, or several calls at once."""


@dataclass
class Stage:
    """Make the rows of requests. `held` adds up what each service held of them that nobody else did: a service itself,
    or the call of one that is not recorded."""

    seed: int
    reuses: bool = True  # connections are used for several calls
    has_pool: bool = False  # calls are made by other threads than those that got the request
    round_trip_us: int = 60
    threads: int = 8
    progress: float = 0.0  # from 0 to 1: how many of the requests have been made
    has_changed: bool = False
    draw: random.Random = field(init=False)
    calls: list[Asked] = field(default_factory=list)
    held: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self._connection, self._tid = 0, 1000
        self._turns = Counter[str]()
        self._free: dict[tuple[str, str], list[tuple[int, int, int]]] = {}  # by both ends: (free from, number, calls)

    def noisy(self, ns: float, spread: float = 0.1) -> int:
        """Return about this duration."""
        return max(int(ns * self.draw.lognormvariate(0, spread)), 1)

    def ask(self, asker: str, asked: Ask, at: int, tid: int = 1, *, alone: bool = True) -> int:
        """Make a call at this time, and return when it ends."""
        place = asked.service.places[self._turns[asked.service.name] % len(asked.service.places)]
        self._turns[asked.service.name] += 1
        self._tid += 1
        server_tid, now = self._tid, at + SOON_NS + READ_NS
        for step in asked.steps:
            if isinstance(step, int):
                now += step
                self.held[asked.service.authority] += step if alone else 0
            else:
                many = step if isinstance(step, tuple) else (step,)
                by = self.draw.randrange(1, self.threads) if self.has_pool else server_tid
                ends = [self.ask(asked.service.name, one, now, by, alone=alone and len(many) == 1) for one in many]
                now = max(ends)
        end = now + SOON_NS
        client = self._client_row(asker, asked, (place, at, end))
        self._record(asked, replace(client, tid=tid, receive_tid=tid), server_tid)
        return end

    def _client_row(self, asker: str, asked: Ask, when: tuple[str, int, int]) -> Row:
        """Return the row of the client's end of a call to this place, with its start and end."""
        place, at, end = when
        connection, sequence = self._connection_for(asker, place, at, end)
        return Row(
            stack_status=StackStatus.NOT_TAKEN,
            request_seq=connection * 1000 + sequence + 1,
            response_seq=connection * 1000 + sequence + 1,
            connection=2 * connection,
            sequence=sequence,
            start_ns=at,
            duration_ns=end - at,
            process=asker.encode(),
            pid=_pid(asker),
            local="10.0.0.1",
            local_port=20000 + connection % 40000,
            peer=place,
            peer_port=asked.service.port,
            response_head=f"HTTP/1.1 {asked.status} No\r".encode(),
            round_trip=self.round_trip_us,
            connect_time=SOON_NS if sequence == 1 else 0,
            segments=2,
            retransmitted=0,
        )

    def _record(self, asked: Ask, client: Row, server_tid: int) -> None:
        """Add both ends of a call, as far as they are recorded."""
        head = f"GET {asked.path} HTTP/1.1\nhost: {asked.service.authority}".encode()
        response = f"HTTP/1.1 {asked.status}".encode()
        self.calls.append(Asked(client, head, response))
        if asked.service.is_recorded:
            server = replace(
                client,
                connection=client.connection + 1,
                role=Role.SERVER,
                start_ns=client.start_ns + SOON_NS,
                duration_ns=client.duration_ns - 2 * SOON_NS,
                process=asked.service.name.encode(),
                pid=_pid(asked.service.name),
                tid=server_tid,
                receive_tid=server_tid,
                local=client.peer,
                local_port=client.peer_port,
                peer=client.local,
                peer_port=client.local_port,
                connect_time=0,
            )
            self.calls.append(Asked(server, head, response))

    def _connection_for(self, asker: str, place: str, at: int, end: int) -> tuple[int, int]:
        """Return a connection that is free, and the number of the call on it."""
        free = self._free.setdefault((asker, place), [])
        for index, (since, number, calls) in enumerate(free):
            if self.reuses and since < at:
                free[index] = (end, number, calls + 1)
                return number, calls + 1
        self._connection += 1
        free.append((end, self._connection, 1))
        return self._connection, 1

    def capture(self, *records: Record, threshold_ns: int = 0) -> bytes:
        """Return the capture of all calls, those that ended first coming first, with more records."""
        calls = sorted(self.calls, key=lambda call: call.row.start_ns + call.row.duration_ns)
        return capture([call.row for call in calls], [*head_records(calls), *records], threshold_ns=threshold_ns)


def _pid(name: str) -> int:
    return 100 + sum(name.encode())
