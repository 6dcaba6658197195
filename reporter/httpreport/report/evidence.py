"""Gather what an answer rests on: how long the requests of a capture took, and of a sample of them who held their time.

A request is the root of a tree of calls. Of more than MOST_SAMPLED requests, those are sampled whose hashes are the
lowest, so that samples of several captures can be merged, in any order and grouping, with the same result.
"""

from __future__ import annotations

import enum
import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from ..calls.request_keys import RequestKey
from ..calls.totals import Latencies, LatencyMerger

MOST_SAMPLED = 10_000  # requests of one host


class HolderKind(enum.IntEnum):
    """Say how a holder had a part in a request."""

    ITSELF = 0  # a process answered a call, and had none open
    UNSEEN = 1  # a process was asked whose end of the call is not among the calls
    BETWEEN = 2  # the process that answered had not yet received the call, or had answered it
    NOT_KNOWN = 3  # it is not known who asked


class Holder(NamedTuple):
    """Identify who held time of requests. Texts are printable."""

    kind: HolderKind
    process: str  # that answered, or else that asked
    answering: str  # if the time is between two processes, the one that answered
    request: RequestKey  # what was asked
    port: int  # of the server
    place: str  # the server's pod, if it is known, else its address and port


class Asking(NamedTuple):
    """Hold what is known of the client calls that asked a holder, or that it was; nothing if they are not there."""

    process: str = ""  # that asked in the longest of them
    calls: int = 0
    of_one: int = 0  # the most of them that one call caused
    at_once: bool = False  # some of them were open at the same time
    again: int = 0  # those that were made after an equal one for the same call had failed
    connected: int = 0  # those that were the first on their connection
    frames: tuple[str, ...] = ()  # own frames of the code that made the longest of them, leaf first
    round_trip_ns: Optional[int] = None  # of the longest of them
    counted: int = 0  # those of which TCP's counts are known at both ends
    segments: int = 0  # that both ends sent in these
    retransmitted: int = 0  # of these segments, those that were sent again


class Held(NamedTuple):
    """Hold what one holder had of one request. The least is so much more together with calls that it made and that were
    too short for the report."""

    holder: Holder
    least_ns: int
    most_ns: int
    asking: Asking
    shorter_ns: int = 0


class Asked(NamedTuple):
    """Say which requests are alike: those of one process name, in one role, for one thing."""

    process: str
    role: int
    request: RequestKey


class Sampled(NamedTuple):
    """Hold one request of the sample."""

    order: int  # the hash by which it was chosen
    start_ns: int  # since 1970
    duration_ns: int  # at least, if it is not finished
    is_finished: bool
    asked: Asked
    held: tuple[Held, ...]


@dataclass(frozen=True)
class Evidence:
    """Hold the evidence of any number of captures of one host; `Evidence()` has none."""

    latencies: Mapping[Asked, Latencies] = field(default_factory=dict)  # of all requests
    sample: tuple[Sampled, ...] = ()
    captures: int = 0  # of which there is evidence


class EvidenceMerger:
    """Add up the evidence of captures by host. The order makes no difference."""

    def __init__(self) -> None:
        self._latencies = LatencyMerger[tuple[str, Asked]]()
        self._samples: dict[str, tuple[Sampled, ...]] = {}
        self._captures = Counter[str]()

    def add(self, more: Mapping[str, Evidence]) -> None:
        """Add the evidence of one capture or of several."""
        for host, evidence in more.items():
            self._latencies.add(((host, asked), latencies) for asked, latencies in evidence.latencies.items())
            self._captures[host] += evidence.captures
            self._samples[host] = lowest((*self._samples.get(host, ()), *evidence.sample))

    def merged(self) -> Mapping[str, Evidence]:
        """Return the evidence of all by host."""
        latencies: dict[str, dict[Asked, Latencies]] = {host: {} for host in self._samples}
        for (host, asked), of_asked in self._latencies.merged().items():
            latencies[host][asked] = of_asked
        return {host: Evidence(latencies[host], sample, self._captures[host]) for host, sample in self._samples.items()}


def lowest(sample: Iterable[Sampled]) -> tuple[Sampled, ...]:
    """Return those of a sample that are kept, the one with the lowest hash first."""
    return tuple(heapq.nsmallest(MOST_SAMPLED, sample, lambda one: (one.order, one.start_ns, one.duration_ns)))
