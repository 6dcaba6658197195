"""Define a `Selection`, the calls that a report is about: their minimum duration, their processes, and so on.

`-p NAME` matches the name of the thread or of its process: exactly, case-sensitively, in the 15 bytes that the kernel
keeps; a name with `*`, `?` or `[` is a shell pattern. The recorder's -p means the same, so a capture of all calls
filtered here equals a capture recorded with the filter.
"""

from __future__ import annotations

import enum
import fnmatch
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from httpcapture import Meta, Outcome, Role
from httpcapture.addresses import parse_endpoint
from httpcapture.process_names import is_pattern, kept, matches

from ..common.interning import Interner, bytes_of, words_of
from ..common.printable import printable
from ..routes.patterns import NO_PATTERNS, RoutePatterns
from . import head_filters
from .available_values import peer_text
from .call_heads import CallHeads
from .head_filters import PathFilter, RouteFilter, StatusFilter, Verdicts
from .protocol import Encrypted, Kind
from .schema import LATEST_NS, ColumnsByName, duration_ns
from .time_options import TimeOption
from .workload_filters import ContainerFilter, PodFilter, by_workload
from .workloads import Workloads

TO_FIRST_BYTE = "to the first byte"
"""What texts add to durations if the report judges calls by their first byte."""


@dataclass(frozen=True)
class Peer:
    """Identify one end of a connection: 16 bytes of an IPv6 or v4-mapped address, and a port (None: any)."""

    address: bytes
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Peer:
        """Parse HOST[:PORT]. HOST is an IPv4 or IPv6 address; IPv6 is in brackets if a port follows. Raises
        ValueError."""
        return cls(*parse_endpoint(text))

    def __str__(self) -> str:
        return peer_text(self.address, self.port or 0)


class CallTable(ColumnsByName, Protocol):
    """Give the columns of calls, and what they refer to."""

    @property
    def heads(self) -> CallHeads:
        """Return the heads of the capture."""

    @property
    def workloads(self) -> Workloads | None:
        """Return where the processes of the capture ran."""


@dataclass(frozen=True)
class Filters:
    """Hold every filter but -t and -p. A call passes a field if it has any of its values, and must pass every
    field."""

    pids: tuple[int, ...] = ()
    roles: tuple[Role, ...] = ()
    peers: tuple[Peer, ...] = ()
    kinds: tuple[Kind, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    encrypted: tuple[Encrypted, ...] = ()
    methods: tuple[str, ...] = ()  # this and the next ones ask for what is in the heads of calls
    paths: tuple[PathFilter, ...] = ()
    routes: tuple[RouteFilter, ...] = ()
    authorities: tuple[str, ...] = ()
    statuses: tuple[StatusFilter, ...] = ()
    request_ids: tuple[str, ...] = ()
    containers: tuple[ContainerFilter, ...] = ()  # this and the next one ask where a process ran
    pods: tuple[PodFilter, ...] = ()
    hosts: tuple[str, ...] = ()  # shell patterns of the names of recorded machines
    since: TimeOption | None = None  # calls that began then or later
    until: TimeOption | None = None  # calls that began before then

    def fixed(self, meta: Meta) -> Filters:
        """Return the filters with times that mean the same in all parts of a recording. `meta` is of its first part."""
        since, until = (moment and moment.fixed(meta) for moment in (self.since, self.until))
        return replace(self, since=since, until=until)

    @property
    def uncertain(self) -> dict[str, tuple[Any, ...]]:
        """Return the values that ask for what may not be known of a call, by the names of their options."""
        values = {
            "method": self.methods,
            "path": self.paths,
            "route": self.routes,
            "authority": self.authorities,
            "status": self.statuses,
            "request ID": self.request_ids,
            "container": self.containers,
            "pod": self.pods,
        }
        return {name: asked for name, asked in values.items() if asked}

    @property
    def part_of_a_process(self) -> bool:
        """Return whether they may keep some of the calls that a process has at a time, and not others."""
        values = (self.roles, self.peers, self.kinds, self.outcomes, self.encrypted, self.methods, self.paths)
        return any((*values, self.routes, self.authorities, self.statuses, self.request_ids))

    def __str__(self) -> str:
        numbers: Iterable[tuple[str, tuple[Any, ...]]] = (("pid", self.pids), ("peer", self.peers))
        words: Iterable[tuple[str, tuple[enum.IntEnum, ...]]] = (
            *(("role", self.roles), ("kind", self.kinds), ("outcome", self.outcomes)),
            ("encrypted", self.encrypted),
        )
        texts = [f"{name} {' or '.join(map(str, values))}" for name, values in numbers if values]
        texts += [f"{name} {' or '.join(value.name.lower() for value in values)}" for name, values in words if values]
        others = {**self.uncertain, **({"host": self.hosts} if self.hosts else {})}
        texts += [f"{name} {printable(' or '.join(map(str, asked)))}" for name, asked in others.items()]
        times = (("since", self.since), ("until", self.until))
        return ", ".join([*texts, *(f"{name} {printable(moment.text)}" for name, moment in times if moment)])


@dataclass(frozen=True)
class Selection:
    """Select the calls of at least `threshold_ns` whose thread or process matches one of `names` (if there are any) and
    that pass `filters`.

    `since_ns` and `until_ns` are the times of the filters on CLOCK_MONOTONIC. With `first_byte`, durations are those to
    the first byte. `patterns` are the routes that the user gave. With `by_route`, stacks are told apart by what their
    calls ask for. Unless `of_host`, the capture is of another host than those asked for, and no call is kept.
    """

    threshold_ns: int
    names: tuple[bytes, ...] = ()
    filters: Filters = Filters()
    since_ns: int = 0
    until_ns: int | None = None
    first_byte: bool = False
    patterns: RoutePatterns = NO_PATTERNS
    by_route: bool = False
    of_host: bool = True

    @classmethod
    def of(
        cls,
        meta: Meta,
        milliseconds: float | None,
        names: tuple[str, ...] = (),
        filters: Filters | None = None,
        *,
        first_byte: bool = False,
        patterns: RoutePatterns = NO_PATTERNS,
        by_route: bool = False,
    ) -> Selection:
        """Return the selection that the command line asks for. Without a threshold, the capture's own applies."""
        threshold = meta.threshold_ns if milliseconds is None else round(milliseconds * 1_000_000)
        filters = filters or Filters()
        since = max(filters.since.on(meta), 0) if filters.since else 0
        until = max(filters.until.on(meta), 0) if filters.until else None
        of_host = not filters.hosts or any(fnmatch.fnmatchcase(meta.host, pattern) for pattern in filters.hosts)
        of_names = tuple(os.fsencode(name) for name in names)
        return cls(threshold, of_names, filters, since, until, first_byte, patterns, by_route, of_host)

    @property
    def asked(self) -> list[str]:
        """Return the fields that the selection tests (keys of available_values.FIELD_COLUMNS), always including
        processes."""
        filters = self.filters
        others = {
            "pids": filters.pids,
            "roles": filters.roles,
            "peers": filters.peers,
            "kinds": filters.kinds,
            "outcomes": filters.outcomes,
            "encrypted": filters.encrypted,
            "methods": filters.methods,
            "paths": filters.paths,
            "routes": filters.routes,
            "authorities": filters.authorities,
            "statuses": filters.statuses,
            "containers": filters.containers,
            "pods": filters.pods,
        }
        return ["processes", *(what for what, values in others.items() if values)]

    @property
    def subject(self) -> str:
        """Return the selected calls, apart from the threshold, as the subject of a sentence: `call of nova-api`."""
        names = list(map(printable, self.names))
        of = f" of {' or '.join(filter(None, (', '.join(names[:-1]), names[-1])))}" if names else ""
        filters = f" that passes the filters ({self.filters})" if str(self.filters) else ""
        return f"call{of}{filters}"

    def mask(self, calls: CallTable) -> npt.NDArray[np.bool_]:
        """Return whether each call is kept (shape: calls)."""
        return self._all_of(calls, duration_ns(calls) >= np.uint64(self.threshold_ns))

    def passing(self, calls: CallTable) -> npt.NDArray[np.bool_]:
        """Return whether each call is kept, or would be kept with a threshold of 0 (shape: calls)."""
        return self._all_of(calls, np.ones(len(calls["t0"]), np.bool_))

    def not_known(self, calls: CallTable) -> int:
        """Return how many calls are only not kept because what a filter asks for is not known of them."""
        if not self.filters.uncertain:
            return 0
        possible = duration_ns(calls) >= np.uint64(self.threshold_ns)
        for condition in self._conditions(calls):
            possible &= condition
        passing = possible.copy()
        for verdicts in self._uncertain(calls):
            possible &= verdicts.passing | ~verdicts.known
            passing &= verdicts.passing
        return int(np.count_nonzero(possible & ~passing))

    def _all_of(self, calls: CallTable, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        for condition in self._conditions(calls):
            mask &= condition
        for verdicts in self._uncertain(calls):
            mask &= verdicts.passing
        return np.asarray(mask)

    def _uncertain(self, calls: CallTable) -> Iterator[Verdicts]:
        filters, heads = self.filters, calls.heads
        if filters.methods:
            yield head_filters.by_method(calls, filters.methods)
        if filters.statuses:
            yield head_filters.by_status(calls, filters.statuses)
        if filters.paths:
            yield head_filters.by_path(calls, heads, filters.paths)
        if filters.routes:
            yield head_filters.by_route(calls, heads, filters.routes, self.patterns)
        if filters.authorities:
            yield head_filters.by_authority(calls, heads, filters.authorities)
        if filters.request_ids:
            yield head_filters.by_request_id(calls, heads, filters.request_ids)
        for asked in (filters.containers, filters.pods):
            if asked and calls.workloads is not None:
                yield by_workload(calls, calls.workloads, asked)

    def _conditions(self, calls: ColumnsByName) -> Iterator[npt.NDArray[np.bool_]]:
        filters = self.filters
        if not self.of_host:
            yield np.zeros(len(calls["t0"]), np.bool_)
        if self.names:
            yield self._named(calls["comm"]) | self._named(calls["process"])
        if self.since_ns:
            yield calls["t0"] >= np.uint64(min(self.since_ns, LATEST_NS))
        if self.until_ns is not None:
            yield calls["t0"] < np.uint64(min(self.until_ns, LATEST_NS))
        for name, values in (("pid", filters.pids), ("role", filters.roles), ("outcome", filters.outcomes)):
            if values:
                yield np.isin(calls[name], values)
        if filters.peers:
            yield self._with_peer(calls)
        for name, wanted in (("kind", filters.kinds), ("encrypted", filters.encrypted)):
            if wanted:
                yield np.isin(calls[name], wanted)

    def _with_peer(self, calls: ColumnsByName) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(calls["peer_port"]), np.bool_)
        for peer in self.filters.peers:
            one = calls["peer_address"] == peer.address
            found |= one if peer.port is None else one & (calls["peer_port"] == peer.port)
        return found

    def _named(self, comms: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bool_]:
        """Return whether each name matches one of -p. Each distinct name is matched once."""
        distinct = Interner(2)
        numbers = distinct.intern(*words_of(comms))
        hits = [any(matches(name, comm) for name in self.names) for comm in bytes_of(distinct.values)]
        return np.asarray(np.array(hits, np.bool_)[numbers])

    @property
    def qualities(self) -> str:
        """Return what the selected calls have in common, to follow the word `calls`: `of 300 ms or more by nova-api`.
        It is empty if every call is selected."""
        common = common_qualities(self.threshold_ns, self.names, first_byte=self.first_byte)
        return " ".join(filter(None, [common, f"({self.filters})" if str(self.filters) else ""]))


def common_qualities(threshold_ns: int, names: Iterable[bytes], *, first_byte: bool) -> str:
    """Return what -t and -p select, to follow the word `calls`."""
    least = f"of {exact_ms(threshold_ns)} ms or more" if threshold_ns else ""
    to = TO_FIRST_BYTE if first_byte and threshold_ns else ""
    by = ", ".join(map(printable, names))
    return " ".join(filter(None, [least, to, by and f"by {by}"]))


def exact_ms(nanoseconds: int) -> str:
    """Return a duration in milliseconds as -t takes it: `300`, `0.5`, `1200000`."""
    whole, fraction = divmod(nanoseconds, 1_000_000)
    return f"{whole}.{fraction:06}".rstrip("0").rstrip(".")


def covered(name: bytes, filters: tuple[bytes, ...]) -> bool:
    """Return whether a capture recorded with these -p filters has every call that -p NAME asks for.

    A pattern counts as covered only by the same pattern, since two different patterns cannot be compared.
    """
    if is_pattern(name):
        return name in filters
    return any(matches(pattern, kept(name)) for pattern in filters)
