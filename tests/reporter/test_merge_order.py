"""Check that a report over several captures does not depend on the order and grouping in which they are merged, and
that merging takes time in proportion to what is merged."""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from httpcapture import StackStatus
from httpreport.calls import schema
from httpreport.calls.totals import Latencies, PeerKey, Totals
from httpreport.cli import parallel
from httpreport.languages.stack_trace import Incomplete, Unnamed
from httpreport.outputs.output import Reported, Spooled, Style
from httpreport.outputs.registry import OUTPUTS
from httpreport.report import headline, slowest
from httpreport.report.aggregate import Aggregate, HostPeer, Request, aggregate_of, merge_aggregates
from httpreport.report.report import NamingCounts, UnnamedIn
from httpreport.report.samples import HostStack, ShownFrame
from support.recordings import MS, TEXT, Row, capture, process, stack
from support.reports import reported

CODE_ELSEWHERE = b"7e0000000000-7e0000001000 r-xp 00000000 fe:01 78 /srv/other/lib nova.so\n"
ROWS = st.builds(
    Row,
    duration_ns=st.sampled_from([1 * MS, 2 * MS]),
    start_ns=st.sampled_from([0, 5]),
    pid=st.sampled_from([1, 2]),
    process=st.sampled_from([b"a", b"b"]),
    comm=st.sampled_from([b"a", b"b"]),
    peer=st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    stack=st.integers(1, 4),
    stack_status=st.sampled_from([StackStatus.RECORDED, StackStatus.RECORDED, StackStatus.LOST]),
    receive_stack=st.integers(1, 4),
    receive_stack_status=st.sampled_from([StackStatus.RECORDED, StackStatus.NOT_TAKEN]),
)
PROCESSES = [process(pid=12345), process(CODE_ELSEWHERE, pid=12346)]
STACKS = [
    stack(TEXT, id=1),
    stack(TEXT + 0x10, 0x10, id=2),
    stack(0x7E0000001000 - 0x1000 + (TEXT & 0xFFF), id=3, pid=12346),
    stack(TEXT, TEXT + 0x11, id=4),
]
CAPTURES = st.lists(
    st.tuples(
        st.sampled_from(["web-1", "web-2"]),
        st.integers(1, 3),  # under so many names
        st.lists(ROWS, max_size=6),
    ),
    min_size=1,
    max_size=4,
)


def aggregates_of(captures: list[tuple[str, int, list[Row]]]) -> list[Aggregate]:
    aggregates = []
    for number, (host, copies, rows) in enumerate(captures):
        report = reported(capture(rows, [*PROCESSES, *STACKS], host=host))
        aggregates += [aggregate_of(report, f"{number}.{copy}.cap", slowest=True) for copy in range(copies)]
    return aggregates


def outputs(whole: Aggregate) -> dict[str, Any]:
    """Return everything that is made from an aggregate alone."""
    given = Reported(whole, Spooled(()), console=Console(file=io.StringIO(), width=200))
    of_reports = [output for output in OUTPUTS if output.report is not None and output.name != "json"]
    made: dict[str, Any] = {output.name: b"".join(output.report(given)) for output in of_reports if output.report}
    return {**made, "warnings": list(headline.warning_lines(whole))}


def in_some_tree(aggregates: list[Aggregate], chance: random.Random) -> Aggregate:
    """Merge several aggregates at a time, in any order, some of them merged before."""
    while len(aggregates) != 1:
        chance.shuffle(aggregates)
        count = chance.randint(0, min(3, len(aggregates)))
        aggregates = [merge_aggregates(aggregates[:count]), *aggregates[count:]]
    return aggregates[0].merge(Aggregate())


@settings(max_examples=25, deadline=None)
@given(CAPTURES, st.sampled_from([(2, 1), (6, 3), (100, 4), (100, 100)]), st.randoms(use_true_random=False))
def test_every_output_is_the_same_in_whatever_order_captures_are_merged(
    captures: list[tuple[str, int, list[Row]]], most: tuple[int, int], chance: random.Random
) -> None:
    """Nearly all calls have the same duration and start as others."""
    with mock.patch.multiple(slowest, MOST_CALLS=most[0], MOST_ROWS=most[1]):
        aggregates = aggregates_of(captures)

        expected = outputs(merge_aggregates(aggregates))

        for _ in range(2):
            made = outputs(in_some_tree([*aggregates], chance))
            assert [name for name in expected if made[name] != expected[name]] == []


def test_rows_of_equal_calls_are_in_the_order_of_host_capture_and_row() -> None:
    rows = [Row(pid=pid, tid=pid) for pid in (9, 7)]
    reports = {host: reported(capture(rows, host=host)) for host in ("web-2", "web-1")}
    aggregates = [aggregate_of(reports[host], name, slowest=True) for name in ("b.cap", "a.cap") for host in reports]

    found = merge_aggregates(aggregates).slowest

    hosts = [group.host for group in found.groups]
    assert [hosts[number] for number in found.calls["group"].tolist()] == [*["web-1"] * 4, *["web-2"] * 4]
    assert [(row.capture, row.pid) for row in found.rows] == [
        ("a.cap", 7),
        ("a.cap", 9),
        ("b.cap", 7),
        ("b.cap", 9),
    ] * 2


def test_the_rows_of_a_capture_belong_to_its_first_calls() -> None:
    """The first of equal calls are not those that were recorded first."""
    rows = [Row(peer=peer) for peer in ("10.0.0.2", "10.0.0.1")]
    with mock.patch.multiple(slowest, MOST_ROWS=1):
        aggregate = aggregate_of(reported(capture(rows)), "a.cap", slowest=True)

    assert [row.destination for row in aggregate.slowest.rows] == ["10.0.0.1:80"]
    groups = list(aggregate.slowest.groups)
    assert [groups[number].peer for number in aggregate.slowest.calls["group"].tolist()] == [
        "10.0.0.1:80",
        "10.0.0.2:80",
    ]


def test_reasons_that_are_as_frequent_have_one_order() -> None:
    first = NamingCounts(1, 0, 0, 0, Counter([UnnamedIn(Unnamed.NOT_FOUND, "")]), 0, 1, Counter([Incomplete.NO_COPY]))
    second = NamingCounts(1, 0, 0, 0, Counter([UnnamedIn(Unnamed.ANONYMOUS, "")]), 0, 1, Counter([Incomplete.BAD_CFI]))

    one, other = (Aggregate(naming=naming) for naming in (first, second))

    assert headline.summary(one.merge(other)) == headline.summary(other.merge(one))


def test_stacks_that_took_the_same_time_have_one_order() -> None:
    """This includes stacks that differ only in a field that one of them lacks."""
    places = [
        ShownFrame("f"),
        ShownFrame("f", "/lib/a"),
        ShownFrame("f", "/lib/a", "a.c", 7),
        ShownFrame("g"),
        ShownFrame("f", inlined=True),
    ]
    stacks = [HostStack("web-1", "nova", (place,)) for place in places]

    orders = set()
    for seed in range(20):
        random.Random(seed).shuffle(stacks)
        orders.add(tuple(Aggregate(stacks=dict.fromkeys(stacks, Totals(1, 5, 5, 5))).samples))

    assert len(orders) == 1


def many_aggregates(count: int) -> list[Aggregate]:
    """Return aggregates with some stacks, peers and calls of their own, and some in common."""
    chance, made = random.Random(1), []
    for number in range(count):
        report = reported(capture([Row(duration_ns=chance.randrange(1 << 40)) for _ in range(20)]), milliseconds=0)
        names = [*range(5), *range(5 + number * 20, 25 + number * 20)]
        stacks = {HostStack("web-1", "nova", (ShownFrame(f"f{name}"),)): Totals(1, 1, 1, 1) for name in names}
        peers = {
            HostPeer("web-1", PeerKey(b"nova", 1, b"%d" % name, 80)): Latencies(Totals(1, 1, 1, 1), {name: 1})
            for name in names
        }
        made.append(Aggregate(stacks=stacks, peers=peers, slowest=aggregate_of(report, "a.cap", slowest=True).slowest))
    return made


class Counted(Mapping[Any, Any]):
    """Count how much of a mapping is read."""

    def __init__(self, mapping: Mapping[Any, Any], reads: list[int]) -> None:
        self._mapping, self._reads = mapping, reads

    def __getitem__(self, key: Any) -> Any:
        self._reads[0] += 1
        return self._mapping[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self._mapping)


@pytest.mark.parametrize("count", [10, 80])
def test_merging_takes_work_in_proportion_to_what_is_merged(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not grow with what was merged before: each entry is read once or twice, and no aggregate is made in
    between."""
    aggregates, reads, made = many_aggregates(count), [0], [0]
    entries = sum(len(one.stacks) + len(one.peers) for one in aggregates)
    calls = sum(len(one.slowest.calls) for one in aggregates)
    counted = [
        Aggregate(stacks=Counted(one.stacks, reads), peers=Counted(one.peers, reads), slowest=one.slowest)
        for one in aggregates
    ]
    sort, sorted_calls, make = schema.longest_first, [0], Aggregate.__init__

    def counted_sort(durations: Any, began: Any) -> Any:
        sorted_calls[0] += len(durations)
        return sort(durations, began)

    def counted_init(one: Aggregate, *arguments: Any, **fields: Any) -> None:
        made[0] += 1
        make(one, *arguments, **fields)

    monkeypatch.setattr(slowest, "longest_first", counted_sort)
    monkeypatch.setattr(slowest, "MOST_CALLS", 400)
    monkeypatch.setattr(slowest, "MOST_ROWS", 100)
    monkeypatch.setattr(Aggregate, "__init__", counted_init)
    monkeypatch.setattr(parallel, "_aggregates", lambda *_: (("run.cap", one) for one in counted))

    whole = parallel.aggregate_all(parallel.Spools(Path(), [], (), Style()), Request(), 1, done=lambda _: None)

    assert (len(whole.stacks), made[0]) == (5 + count * 20, 1)
    assert entries <= reads[0] <= 2 * entries
    assert sorted_calls[0] <= 6 * calls
