"""Define an `Answer`: what can be said of a report for certain, with the numbers that each word rests on."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, Optional

from ..report.evidence import HolderKind
from ..report.route_totals import Route


class Silence(enum.Enum):
    """Say why it is not said who holds the time. The value is its name in JSON."""

    INCOMPLETE = "incomplete"
    FEW = "few_requests"
    NOT_CERTAIN = "not_certain"
    CUT = "cut_by_threshold"


class Subject(NamedTuple):
    """Identify the requests that an answer is about: those with one route, or of one process if no path is known."""

    route: Route
    process: str  # empty if a path is known


class Requests(NamedTuple):
    """Hold how long the requests took that the answer is about. Quantiles are at most 0.4 % off."""

    calls: int
    time_ns: int
    of_ns: int  # the time of all requests
    p50_ns: int
    p99_ns: int
    floor_ns: int  # shorter requests are not in the report
    hidden_ns: int  # shorter calls that were made for them are not known; 0: all are
    sampled: int  # how many of them the rest of the answer rests on


class Side(NamedTuple):
    """Hold how long requests took before a change, or since then."""

    requests: int
    p25_ns: int
    p50_ns: int
    p75_ns: int


class Change(NamedTuple):
    """Say that requests take another time than before, and since when."""

    at_ns: Optional[int]  # since 1970: when the first of them began; None: in another recording
    before: Side
    since: Side

    @property
    def is_longer(self) -> bool:
        """Return whether requests take longer than before."""
        return self.since.p50_ns > self.before.p50_ns


class Earlier(NamedTuple):
    """Hold how long such requests took in an earlier recording."""

    requests: int
    p50_ns: Optional[int]  # None if there were none


class HolderName(NamedTuple):
    """Name who held time. Texts are printable, and empty if they do not apply."""

    kind: HolderKind
    process: str  # that answered itself; else that asked
    other: str  # whom it asked
    port: int  # of the process that answered itself; else 0
    answering: str  # what was asked of it, or empty: it is not only one thing


class Shorter(enum.Enum):
    """Say whether calls that a holder made, and that are too short for the report, hold the time. The value is its name
    in JSON."""

    NO = "no"
    PERHAPS = "perhaps"  # the holder or they do
    YES = "yes"  # and not the holder itself


class Holding(NamedTuple):
    """Hold the least and the most time that a holder held of the time of so many requests."""

    who: HolderName
    least_ns: int
    most_ns: int
    of_ns: int
    requests: int
    is_extra: bool  # all times are by how much the mean of a typical request since the change is longer than before
    shorter: Shorter = Shorter.NO


class Code(NamedTuple):
    """Hold the own frames, leaf first, of the code that asked the holder, and for how much of what that took."""

    process: str
    frames: tuple[str, ...]
    time_ns: int
    of_ns: int


class Verdict(enum.Enum):
    """Say whether the network may be what takes the time. The value is its name in JSON."""

    NO = "no"
    NOT_KNOWN = "not_known"


class Network(NamedTuple):
    """Hold what TCP tells of the calls that asked the holder."""

    verdict: Verdict
    calls: int
    both_ends: int  # of how many of them the counts of both ends are known
    segments: int
    retransmitted: int
    round_trip_ns: Optional[int]  # the median of the longest calls of the requests


class Places(NamedTuple):
    """Hold at how many places a holder is, and which of them is slow if only one is; else all of them are."""

    places: int
    only: Optional[str]
    p50_ns: int  # of how long requests were held there
    others_p50_ns: Optional[int]


class AlsoKind(enum.Enum):
    """Say what else stands out. The value is its name in JSON."""

    AGAIN = "again"  # calls are made again after the same one failed
    REPEATED = "repeated"  # one request takes many equal calls
    CONNECTS = "connects"  # calls have a connection of their own


class Also(NamedTuple):
    """Hold what else stands out in how somebody asks a holder."""

    kind: AlsoKind
    asker: str
    who: HolderName
    seen: int  # calls after a failure; calls for one request, the median; or calls on new connections
    calls: int  # all calls of that asker to that holder
    requests: int  # in which this is seen
    before: Optional[int] = None  # what was seen before the change, if calls are repeated and there were any
    one_by_one: bool = False  # repeated calls are never made at the same time


@dataclass(frozen=True)
class Answer:
    """Hold the answer about the requests of one host that take the most time, or if recordings are compared, the most
    extra time. What is not certain is None."""

    host: str
    subject: Subject
    requests: Requests
    silence: Silence | None
    earlier: Earlier | None = None  # only if recordings are compared
    change: Change | None = None
    holding: Holding | None = None
    code: Code | None = None
    network: Network | None = None
    places: Places | None = None
    also: Also | None = None
