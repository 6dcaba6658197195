"""Read what a client logged about its own calls, and find each of them in a capture.

A call is found by its process, its port, and its time; if the client does not log that, by its position among the calls
of the connection.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from httpreport.calls.call import Call

MS = 1_000_000
Connection = tuple[int, int]  # pid, local port


@dataclass(frozen=True)
class OwnCall:
    """Hold one call by the client's own clock. `tid`, `t0` and `t2` are None if the client cannot tell."""

    pid: int
    tid: int | None
    comm: str
    process: str
    path: str
    local: tuple[str, int]
    peer: tuple[str, int]
    t0: int | None
    t2: int | None
    least_ns: int  # of the duration
    most_ns: int

    def differs_ns(self, duration_ns: int) -> int:
        """Return by how much a recorded duration differs from the client's."""
        return max(self.least_ns - duration_ns, duration_ns - self.most_ns, 0)

    @property
    def is_slow(self) -> bool:
        return self.path.startswith("/slow/")


def read_own_calls(log: Path) -> list[OwnCall]:
    rows = map(json.loads, log.read_text().splitlines())
    return [_nginx(row) if row["client"] == "nginx" else _own_call(row) for row in rows]


def _own_call(row: Mapping[str, Any]) -> OwnCall:
    local, peer = (row["local"], row["local_port"]), (row["peer"], row["peer_port"])
    names = ("pid", "tid", "comm", "process", "path", "t0", "t2", "least_ns", "most_ns")
    return OwnCall(local=local, peer=peer, **{name: row[name] for name in names})


def _nginx(row: Mapping[str, Any]) -> OwnCall:
    """Return a call of nginx, which counts from the start of connecting; it sends the request once it is connected."""
    address, _, port = row["peer"].partition(":")
    waited_ms = round(1000 * (float(row["header_s"]) - float(row["connect_s"])))
    more = {
        **{"tid": row["pid"], "t0": None, "t2": None, "least_ns": waited_ms * MS, "most_ns": waited_ms * MS},
        **{"local_port": int(row["local_port"]), "peer": address, "peer_port": int(port)},
    }
    return _own_call({**row, **more})


@dataclass(frozen=True)
class Pairs:
    """Hold pairs of the same call, and the calls without a counterpart."""

    same: Sequence[tuple[OwnCall, Call]]
    not_recorded: Sequence[OwnCall]
    not_made: Sequence[Call]


def pair(own: Iterable[OwnCall], calls: Iterable[Call]) -> Pairs:
    """Find each of a client's own calls, which are in the order of time, among the recorded ones."""
    waiting: dict[Connection, list[Call]] = defaultdict(list)
    for call in calls:
        waiting[call.pid, call.local_port].append(call)
    places: Counter[Connection] = Counter()
    same: list[tuple[OwnCall, Call]] = []
    not_recorded: list[OwnCall] = []
    for mine in own:
        connection = (mine.pid, mine.local[1])
        places[connection] += 1
        found = next((call for call in waiting[connection] if _is_same(mine, places[connection], call)), None)
        if found is None:
            not_recorded.append(mine)
        else:
            waiting[connection].remove(found)
            same.append((mine, found))
    return Pairs(same, not_recorded, [call for rest in waiting.values() for call in rest])


def _is_same(mine: OwnCall, place: int, call: Call) -> bool:
    """Return whether both are the same call: calls of one connection do not overlap, and the recorder counts short ones
    too."""
    if mine.t0 is None or mine.t2 is None:
        return call.sequence == place
    return call.t0 < mine.t2 and mine.t0 < call.t2
