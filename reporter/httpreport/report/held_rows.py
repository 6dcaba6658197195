"""Tell who held the time of requests, and what is known of the calls by which they were asked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from httpcapture import COUNT_NOT_KNOWN, Role

from ..calls.available_values import peer_text
from ..calls.covered_time import CoveredTime
from ..calls.held_times import held_times
from ..calls.open_intervals import NONE, Indices, Times
from ..calls.other_ends import NOT_JOINED
from ..calls.retries import retries
from ..calls.schema import ends_of
from ..calls.trees import Trees, in_doubt
from ..common.interning import Interner, bytes_of, words_of
from ..common.printable import comm
from .evidence import Asking, Held, Holder, HolderKind
from .plumbing import own_frames
from .report import Report
from .samples import shown_frames, with_line

FRAMES = 8  # own frames of a stack trace that are kept


class Members:
    """Hold the calls of some trees of a report, and how they are linked: `indices` are their indices in the report, and
    all others are places among them."""

    def __init__(self, report: Report, indices: Indices) -> None:
        self.report, self.indices = report, indices
        self.calls = report.recording.some_calls(indices)
        place = np.full(len(report.trees.tops) + 1, NONE)  # the last one is that of NONE
        place[indices] = np.arange(len(indices))
        self.other_ends = place[report.other_ends[indices]]
        ends, listed = report.linked_ends[indices], len(report.recording.listed)
        self.is_joined = ends != NOT_JOINED
        self.other_process = np.zeros(len(indices), self.calls.dtype["process"])
        self.other_process[self.is_joined] = report.linked.at("process", ends[self.is_joined])
        above, tops, are_roots = report.trees
        self.trees = Trees(place[above[indices]], place[tops[indices]], are_roots[indices])
        self.requests = report.request_numbers[indices]
        least, most = report.self_times if report.has_both_roles else np.zeros((2, len(report.trees.tops)), np.int64)
        self.in_doubt = in_doubt(report.causes.certainty[indices], self.trees.above)
        whole_ns = ends_of(self.calls) - self.calls["t0"].astype(np.int64)
        self.uncertain_ns = (most - least)[indices] + np.where(self.in_doubt, whole_ns, 0)
        is_short = ends >= listed
        self.uncertain_ns[is_short] += report.linked.at("duration", ends[is_short]).astype(np.int64)
        """How long calls of their processes were open meanwhile whose cause is not known; all of what is in doubt; and
        how long the process that was asked had a call that is too short to be in the report."""
        self.shorter_ns = report.shorter_ns[indices]
        self.again = retries(self.calls, self.trees.above, report.recording.heads.texts)


def held_rows(members: Members) -> Iterator[tuple[int, Held]]:
    """Yield for each pair of a request and a holder the place of the request, and what the holder had of it."""
    holders, holder_of = _holders(members)
    pairs = held_times(members.calls, members.trees, members.uncertain_ns, members.shorter_ns, holder_of)
    askers = np.where(members.calls["role"] == Role.SERVER, members.trees.above, np.arange(len(members.indices)))
    is_asked = (askers != NONE) & ~members.in_doubt
    asked = _Askers(members, askers[is_asked], pairs.pair_of[is_asked], len(pairs.requests)).asking()
    columns = (pairs.requests, pairs.holders, pairs.least, pairs.most, pairs.shorter)
    for request, holder, least_ns, most_ns, shorter_ns, asking in zip(*(each.tolist() for each in columns), asked):
        yield request, Held(holders[holder], least_ns, most_ns, asking, shorter_ns)


def _holders(members: Members) -> tuple[list[Holder], Indices]:
    """Return the distinct holders, and for each call the index of that to which its own time belongs."""
    calls, is_known = members.calls, members.is_joined
    is_server, is_client = calls["role"] == Role.SERVER, calls["role"] == Role.CLIENT
    kinds = np.select(
        [is_server, is_client & is_known, is_client],
        [HolderKind.ITSELF, HolderKind.BETWEEN, HolderKind.UNSEEN],
        HolderKind.NOT_KNOWN,
    )
    port = np.where(is_server, calls["local_port"], calls["peer_port"])
    distinct = Interner(8)
    numbers = distinct.intern(
        *words_of(calls["process"]),
        *words_of(np.where(kinds == HolderKind.BETWEEN, members.other_process, b"").astype("S16")),
        *words_of(np.where(is_server, calls["local_address"], calls["peer_address"])),
        *words_of(kinds << 16 | port),
        *words_of(members.requests.astype(np.int64) << 32 | np.where(is_server, calls["workload"], 0)),
    )
    processes, answering, addresses = (bytes_of(distinct.values[first : first + 2]) for first in (0, 2, 4))
    kinds_and_ports, requests = distinct.values[6:].tolist()
    workloads = members.report.recording.workloads.values
    return [
        Holder(
            kind=HolderKind(kind >> 16),
            process=comm(process),
            answering=comm(other),
            request=members.report.request_key(request >> 32),
            port=kind & 0xFFFF,
            place=workloads[request & 0xFFFFFFFF].pod_text or peer_text(address, kind & 0xFFFF),
        )
        for process, other, address, kind, request in zip(processes, answering, addresses, kinds_and_ports, requests)
    ], numbers


class _Askers:
    """Hold the places of client calls that asked, and to which of so many pairs each of them belongs."""

    def __init__(self, members: Members, places: Indices, pairs: Indices, count: int) -> None:
        self._members, self._places, self._pairs, self._count = members, places, pairs, count
        self._calls = members.calls[places]
        self._starts, self._ends = self._calls["t0"].astype(np.int64), ends_of(self._calls)
        self._own_frames = lru_cache(maxsize=None)(partial(_own_frames, members.report))

    def asking(self) -> Iterator[Asking]:
        """Yield what is known of the calls of each pair."""
        connects, again = self._calls["connect_time"] > 0, self._members.again[self._places]
        counts = (np.ones(len(self._pairs)), again, connects, *self._tcp_counts())
        calls, again, connected, counted, segments, retransmitted = (self._sums(values).tolist() for values in counts)
        longest, of_one, at_once = self._longest().tolist(), self._of_one().tolist(), self._at_once().tolist()
        for pair, (process, frames, round_trip_ns) in enumerate(map(self._of_call, longest)):
            yield Asking(
                process=process,
                calls=calls[pair],
                of_one=of_one[pair],
                at_once=at_once[pair],
                again=again[pair],
                connected=connected[pair],
                frames=frames,
                round_trip_ns=round_trip_ns,
                counted=counted[pair],
                segments=segments[pair],
                retransmitted=retransmitted[pair],
            )

    def _sums(self, values: npt.NDArray[Any]) -> Times:
        """Return the sum of the values of the calls of each pair."""
        sums = np.zeros(self._count, np.int64)
        np.add.at(sums, self._pairs, values.astype(np.int64))
        return sums

    def _longest(self) -> Indices:
        """Return which is the longest call of each pair, or NONE."""
        order, longest = np.lexsort((-self._starts, self._ends - self._starts)), np.full(self._count, NONE)
        longest[self._pairs[order]] = order
        return longest

    def _of_one(self) -> Indices:
        """Return the most calls of each pair that one call caused."""
        both, calls = np.unique(
            np.stack([self._pairs, self._members.trees.above[self._places]]), axis=1, return_counts=True
        )
        most = np.zeros(self._count, np.intp)
        np.maximum.at(most, both[0], calls)
        return most

    def _at_once(self) -> npt.NDArray[np.bool_]:
        """Return whether some calls of each pair were open at the same time."""
        spans, covered = CoveredTime(self._pairs, self._starts, self._ends), np.zeros(self._count, np.int64)
        np.add.at(covered, spans.groups, spans.ends - spans.starts)
        return np.asarray(self._sums(self._ends - self._starts) > covered)

    def _tcp_counts(self) -> tuple[npt.NDArray[Any], ...]:
        """Return of each call whether TCP's counts are known at both ends, and then how many segments both sent and
        sent again, else 0."""
        other = self._members.other_ends[self._places]
        ends = self._calls, self._members.calls[other]
        columns = [[end[name].astype(np.int64) for end in ends] for name in ("segments", "retransmitted")]
        known = (other != NONE) & np.logical_and.reduce([one != COUNT_NOT_KNOWN for both in columns for one in both])
        return (known, *(np.where(known, client + server, 0) for client, server in columns))

    def _of_call(self, call: int) -> tuple[str, tuple[str, ...], int | None]:
        """Return the process of a call, own frames of the code that made it, and the round trip."""
        if call == NONE:
            return "", (), None
        trace = int(self._members.report.trace_of[self._members.indices[self._places[call]]])
        return (
            comm(self._calls["process"][call]),
            self._own_frames(trace),
            int(self._calls["round_trip"][call]) * 1000 or None,
        )


def _own_frames(report: Report, trace: int) -> tuple[str, ...]:
    """Return the own frames of a stack trace, leaf first."""
    frames = own_frames(shown_frames(report.traces[trace]), report.choice.own)
    return tuple(map(with_line, reversed(frames[-FRAMES:])))
