"""Define `Aggregate`: what one capture adds to a report over many. It grows with distinct stacks and peers, and
aggregates merge.

`aggregate` makes one from a capture file. It shares no state, so it can run in any process on any machine. Outputs that
list calls one by one are written to files of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, TypeVar

from httpcapture import CaptureError, Meta, Reader

from ..calls.call import iso_time
from ..calls.filters import Filters, Selection
from ..calls.request_keys import Examples, RequestKey
from ..calls.route_totals import RoleRequest, RouteTotals
from ..calls.totals import Latencies, LatencyMerger, PeerKey, Totals
from ..calls.workloads import Workload
from ..capture.loader import load
from ..capture.recording import Recording
from ..capture.sources import name_of, rereadable
from ..common.errors import OUT_OF_MEMORY, ReportError
from ..common.printable import comm, printable
from ..common.progress import ProgressBar, ProgressReader
from ..routes.patterns import NO_PATTERNS, RoutePatterns
from ..routes.routes import Routes
from ..routes.shapes import Merger
from ..symbols.binary_lookup import Binaries
from ..symbols.debuginfod import Debuginfod
from .evidence import Evidence, EvidenceMerger
from .folding import fold, folded_totals
from .frame_choice import FOLDED, FrameChoice
from .gather_evidence import evidence_of
from .recordings import Facts, RecordedRun, recording_of, runs_of
from .report import NamingCounts, Report, make_report, naming
from .route_totals import HostRequest, Route, route_of, routes_of, totals_by_route, within
from .samples import HostStack, Sample, ShownFrame, samples, shown_frames
from .sinks import Sink
from .slowest import Ranking, Slowest, slowest_of
from .stack_ids import LongestCall, assign_stack_ids
from .tree_totals import TreeMerger, TreeTotals, tree_totals
from .warnings import Cause, ReportWarning, another_part_follows, incomplete

Key = TypeVar("Key")


@dataclass(frozen=True)
class Request:
    """Hold what the command line asks of every capture. It is picklable, so other processes can have it."""

    milliseconds: float | None = None
    names: tuple[str, ...] = ()
    filters: Filters = field(default_factory=Filters)
    symfs: str | None = None
    debuginfod_urls: tuple[str, ...] = ()
    slowest: bool = False  # whether the aggregate is to have the slowest calls
    first_byte: bool = False  # whether calls are judged by their first byte
    choice: FrameChoice = FOLDED
    patterns: RoutePatterns = NO_PATTERNS
    trees: int = 0  # how many of the slowest trees of calls the aggregate is to have
    by_route: bool = False  # whether stacks are told apart by the routes of their calls
    answer: bool = False  # whether the aggregate is to have the evidence for an answer

    @property
    def filtered(self) -> bool:
        """Return whether filters other than the threshold are set."""
        return bool(self.names) or self.filters != Filters()

    def selection(self, meta: Meta) -> Selection:
        """Return which calls of a capture with this META are asked for."""
        return Selection.of(
            meta,
            self.milliseconds,
            self.names,
            self.filters,
            first_byte=self.first_byte,
            patterns=self.patterns,
            by_route=self.by_route,
        )


class HostWorkload(NamedTuple):
    """Say where processes ran on one host."""

    host: str
    workload: Workload


class HostPeer(NamedTuple):
    """Identify a process and its peer on one host."""

    host: str
    peer: PeerKey


@dataclass(frozen=True)
class UnreadableCapture:
    """Name a capture that could not be read, and the reason."""

    file: str
    reason: str


@dataclass(frozen=True)
class Aggregate:
    """Hold the mergeable totals of any number of captures; `Aggregate()` has none and is the identity of `merge`."""

    captures: tuple[Facts, ...] = ()
    unreadable: tuple[UnreadableCapture, ...] = ()
    stacks: Mapping[HostStack, Totals] = field(default_factory=dict)
    peers: Mapping[HostPeer, Latencies] = field(default_factory=dict)
    naming: NamingCounts = field(default_factory=NamingCounts)
    requests: Mapping[HostRequest, RouteTotals] = field(default_factory=dict)
    examples: Examples = field(default_factory=dict)  # of the paths of all recorded requests, kept or not
    slowest: Slowest = field(default_factory=Slowest)  # only if Request.slowest
    longest: Mapping[bytes, LongestCall] = field(default_factory=dict)  # the longest call of each stack trace, by key
    workloads: Mapping[HostWorkload, Latencies] = field(default_factory=dict)
    trees: TreeTotals = field(default_factory=TreeTotals)
    evidence: Mapping[str, Evidence] = field(default_factory=dict)  # by host; only if Request.answer
    decided: Routes | None = None  # the routes, if they are those of more captures than these

    @property
    def hosts(self) -> list[str]:
        """Return the names of the recorded hosts, sorted, each once."""
        return sorted({facts.host for facts in self.captures})

    @property
    def of_one_capture(self) -> bool:
        """Return whether this is the aggregate of exactly one capture, which could be read."""
        return len(self.captures) == 1 and not self.unreadable

    @property
    def started_realtime_ns(self) -> int:
        """Return when the first capture began, in ns since 1970."""
        return min(facts.started_realtime_ns for facts in self.captures)

    @property
    def has_heads(self) -> bool:
        """Return whether any capture has heads of requests or responses."""
        return any(facts.has_heads for facts in self.captures)

    @property
    def listed(self) -> int:
        """Return how many calls are listed one by one."""
        return sum(facts.listed for facts in self.captures)

    @cached_property
    def stack_ids(self) -> Mapping[bytes, int]:
        """Return the Stack IDs by the keys of stack traces."""
        return assign_stack_ids(self.longest)

    @cached_property
    def runs(self) -> list[RecordedRun]:
        """Return the recordings to which the captures belong."""
        return runs_of(self.captures)

    @cached_property
    def samples(self) -> list[Sample]:
        """Return the samples from which pictures are drawn."""
        return samples(self.stacks, self._name, with_host=len(self.hosts) > 1)

    @property
    def folded(self) -> Mapping[str, Totals]:
        """Return the totals by folded stack, without hosts."""
        return folded_totals(self._without_hosts)

    @property
    def frames_of(self) -> Mapping[str, tuple[ShownFrame, ...]]:
        """Return the frames by folded stack, without hosts; of equal names those with the most time."""
        return {fold(sample): sample.stack.frames for sample in reversed(self._without_hosts)}

    @cached_property
    def _without_hosts(self) -> list[Sample]:
        return samples(self.stacks, self._name)

    def _name(self, request: RoleRequest) -> str:
        return route_of(*request, self.routes).name

    @cached_property
    def routes(self) -> Routes:
        """Return the routes of all requests."""
        return routes_of(self.examples) if self.decided is None else self.decided

    @cached_property
    def by_route(self) -> Mapping[Route, RouteTotals]:
        """Return the totals of the calls by route, those with the most time first."""
        return totals_by_route(self.requests, self.routes)

    def merge(self, other: Aggregate) -> Aggregate:
        """Return the aggregate of the captures of both."""
        return merge_aggregates((self, other))

    def of_host(self, host: str) -> Aggregate:
        """Return the part of one host, but with the naming counts, the slowest calls and the routes of all hosts."""
        return replace(
            self,
            captures=tuple(facts for facts in self.captures if facts.host == host),
            stacks={key: totals for key, totals in self.stacks.items() if key.host == host},
            peers={key: latencies for key, latencies in self.peers.items() if key.host == host},
            requests={key: totals for key, totals in self.requests.items() if key.host == host},
            workloads={key: latencies for key, latencies in self.workloads.items() if key.host == host},
            evidence={key: evidence for key, evidence in self.evidence.items() if key == host},
            decided=self.routes,
        )


def merge_aggregates(aggregates: Iterable[Aggregate]) -> Aggregate:
    """Return the aggregate of the captures of all. The order and grouping of merges make no difference to a report.

    The aggregates are taken one after the other, and none is kept.
    """
    captures: list[Facts] = []
    unreadable: list[UnreadableCapture] = []
    stacks: dict[HostStack, Totals] = {}
    peers, requests, workloads = LatencyMerger[HostPeer](), LatencyMerger[HostRequest](), LatencyMerger[HostWorkload]()
    errors: Counter[HostRequest] = Counter()
    examples = Merger[RequestKey]()
    names, ranking = NamingCounts(), Ranking()
    longest: dict[bytes, LongestCall] = {}
    trees, evidence = TreeMerger(), EvidenceMerger()
    for one in aggregates:
        captures += one.captures
        unreadable += one.unreadable
        _add(stacks, one.stacks.items())
        peers.add(one.peers.items())
        workloads.add(one.workloads.items())
        requests.add((request, totals.latencies) for request, totals in one.requests.items())
        errors.update({request: totals.errors for request, totals in one.requests.items()})
        for request, path in one.examples.items():
            examples.add(request, path)
        names += one.naming
        ranking.add(one.slowest)
        trees.add(one.trees)
        evidence.add(one.evidence)
        for key, call in one.longest.items():
            longest[key] = min(call, longest.get(key, call))
    known = examples.merged()
    of_stacks: dict[HostStack, Totals] = {}
    _add(of_stacks, ((stack.within(known), totals) for stack, totals in stacks.items()))
    return Aggregate(
        tuple(sorted(captures, key=lambda facts: (facts.host, facts.started, facts.file))),
        tuple(sorted(unreadable, key=lambda one: one.file)),
        of_stacks,
        peers.merged(),
        names,
        within(((key, RouteTotals(one, errors[key])) for key, one in requests.merged().items()), known),
        known,
        ranking.slowest(),
        longest,
        workloads.merged(),
        trees.merged(known),
        evidence.merged(),
    )


def _add(totals: dict[Key, Totals], more: Iterable[tuple[Key, Totals]]) -> None:
    for key, value in more:
        totals[key] = totals[key] + value if key in totals else value


def aggregate(path: str, request: Request, sinks: Sequence[Sink]) -> Aggregate:
    """Return the aggregate of the capture at `path`, and hand its report to the sinks.

    If the capture cannot be read, the aggregate has the reason, and the sinks keep nothing. Raises OSError if a sink
    cannot be written.
    """
    try:
        report = read_report(path, request)
        for sink in sinks:
            sink.write(report, path)
        return aggregate_of(report, path, slowest=request.slowest, trees=request.trees, answer=request.answer)
    except (ReportError, CaptureError) as error:
        reason = str(error)
    except MemoryError:
        reason = f"{path}: {OUT_OF_MEMORY}"
    for sink in sinks:
        sink.discard()
    return Aggregate(unreadable=(UnreadableCapture(printable(path), printable(reason)),))


def read_report(path: str, request: Request, bar: ProgressBar | None = None) -> Report:
    """Return the report of one capture. The bar advances by twice the size of its file, and when stacks are read again.

    Raises ReportError and CaptureError.
    """
    with rereadable(path) as file:
        reader = Reader(file if bar is None else ProgressReader(file, bar), name_of(path))
        selection = request.selection(reader.meta)
        recording = load(reader, selection)
    if bar is not None and recording.kept:
        bar.expect(recording.stacks.nbytes)
        recording.stacks.on_read = bar.advance
    with closing(binaries_of(request)) as binaries:
        report = make_report(recording, selection, binaries.find, request.choice)
        problems = [ReportWarning(Cause.BINARIES, printable(problem)) for problem in binaries.problems]
    recording.stacks.on_read = lambda size: None  # they may be read again when the bar has ended
    return replace(report, warnings=[*report.warnings, *problems])


def binaries_of(request: Request) -> Binaries:
    """Return the look-up of binaries that the request asks for. The caller closes it."""
    servers = Debuginfod(request.debuginfod_urls) if request.debuginfod_urls else None
    return Binaries(request.symfs, servers)


def aggregate_of(
    report: Report, path: str, *, slowest: bool = False, trees: int = 0, answer: bool = False
) -> Aggregate:
    """Return the aggregate of one report. `path` is the path of its capture."""
    recording, meta, end = report.recording, report.recording.meta, report.recording.end
    host = printable(meta.host)
    facts = Facts(
        file=printable(path),
        host=host,
        system=f"Linux {printable(meta.kernel)} {printable(meta.arch)}",
        tool=printable(meta.tool),
        run=recording_of(meta, path),
        part=meta.part,
        another_part_follows=another_part_follows(recording),
        started=iso_time(meta, meta.started_monotonic_ns),
        started_realtime_ns=meta.started_realtime_ns,
        ended=iso_time(meta, end.at_ns) if end else None,
        qualities=report.selection.qualities,
        first_byte=report.selection.first_byte,
        judged_whole=bool(meta.duration_rule),
        asked_ns=report.selection.threshold_ns,
        subject=report.selection.subject,
        of_host=report.selection.of_host,
        recorded=recording.recorded,
        below=recording.unlisted.below if recording.meta.short_layout.fields else None,
        kept=recording.kept,
        not_known=recording.not_known,
        unreached_ns=recording.available.unreached_ns,
        listed=len(recording.listed),
        both_ends=len(report.both_ends_ns),
        both_ends_ns=report.both_ends_time_ns,
        lost={printable(cause): count for cause, count in recording.lost.items() if count},
        lost_between={
            printable(cause): (iso_time(meta, first), iso_time(meta, last))
            for cause, (first, last) in recording.lost_between.items()
        },
        complete=not incomplete(recording),
        warnings=tuple(report.warnings),
        threshold_ns=recording.meta.threshold_ns,
        floor_ns=max(report.selection.threshold_ns, recording.meta.threshold_ns),
        names=tuple(map(printable, report.selection.names or recording.meta.process_filters)),
        has_heads=len(recording.heads) > 0,
        length_ns=_length_ns(recording, report.selection),
    )
    stacks: dict[HostStack, Totals] = {}
    keys = recording.request_keys
    frames_of = list(map(shown_frames, report.shown_traces))
    for key, totals in recording.by_stack.items():
        asked = RoleRequest(key.role, keys.keys[key.request]) if keys and report.selection.by_route else None
        stack = HostStack(host, comm(key.process), frames_of[report.trace_of_key[key]], asked)
        stacks[stack] = stacks.get(stack, Totals()) + totals
    peers = {HostPeer(host, key): latencies for key, latencies in recording.by_peer.items()}
    requests = {HostRequest(host, *key): totals for key, totals in recording.by_request.items()}
    workloads = {HostWorkload(host, ran): latencies for ran, latencies in recording.by_workload.items()}
    return Aggregate(
        captures=(facts,),
        stacks=stacks,
        peers=peers,
        naming=naming(report),
        requests=requests,
        examples=keys.examples if keys else {},
        slowest=slowest_of(report, path) if slowest else Slowest(),
        longest=report.longest,
        workloads=workloads,
        trees=tree_totals(report, trees) if trees else TreeTotals(),
        evidence={host: evidence_of(report)} if answer else {},
    )


def _length_ns(recording: Recording, selection: Selection) -> int | None:
    """Return how long the selected part of the recording is, or None if END is missing."""
    if recording.end is None:
        return None
    first = max(recording.meta.started_monotonic_ns, selection.since_ns)
    last = recording.end.at_ns if selection.until_ns is None else min(recording.end.at_ns, selection.until_ns)
    return max(last - first, 0)
