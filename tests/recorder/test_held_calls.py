"""Check when a call is printed, and that each is printed once, with all that was known of it by then."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpbpf.layout import ENUMS
from httpcapture import Completions, Lost, Outcome
from httprec import tuning
from httprec.call_text import PrintedCall
from httprec.held_calls import HeldCalls
from httprec.recording_loop import Totals
from support.scripted import Step, parts_of, record, rotate
from support.synthetic import SyntheticTracer

MS, SECOND = 1_000_000, 1_000_000_000
NEVER = 1 << 61  # a time that no clock reaches during the test


def call(number: int, *, begin: int = 0, end: int = 0, awaits_end: bool = True) -> PrintedCall:
    return PrintedCall(number, 1, begin, end, 10, awaits_end, 4242, "curl", 0, "::1", "::1", 80)


def completion(number: int, t3: int, sent: int = 100, received: int = 200) -> dict[str, int]:
    return {"connection": number, "sequence": 1, "t3": t3, "sent": sent, "received": received}


def numbers(calls: list[PrintedCall]) -> list[int]:
    return [call.connection for call in calls]


def test_a_call_without_a_response_is_due_at_once() -> None:
    held = HeldCalls()
    assert held.add(call(1, end=5, awaits_end=False)) == []
    assert numbers(held.due(5)) == [1] and held.rest() == []


def test_a_call_is_due_when_its_completion_says_how_long_it_was() -> None:
    held = HeldCalls()
    held.add(call(1, begin=0, end=100 * MS))
    assert held.due(500 * MS) == []
    held.complete(completion(1, 450 * MS))
    (whole,) = held.due(500 * MS)
    assert "Duration: 450.00 ms, Size: 300 bytes\n" in whole.text
    assert held.rest() == []


def test_a_call_without_a_completion_is_due_after_a_second_of_silence() -> None:
    held = HeldCalls()
    held.add(call(1, end=100 * MS))
    assert held.due(SECOND + 100 * MS - 1) == []
    (as_it_was,) = held.due(SECOND + 100 * MS)
    assert "Duration: 100.00 ms, Size: 10 bytes\n" in as_it_was.text


def test_a_completion_of_a_call_that_is_printed_or_unknown_changes_nothing() -> None:
    held = HeldCalls()
    held.add(call(1))
    assert numbers(held.due(SECOND)) == [1]
    held.complete(completion(1, 2 * SECOND))
    held.complete(completion(7, 2 * SECOND))
    assert held.rest() == []


def test_calls_are_printed_in_the_order_in_which_they_ended() -> None:
    held = HeldCalls()
    for number, end in ((1, 10), (2, 30), (3, 20)):
        held.add(call(number, end=end))
    held.add(call(4, end=25, awaits_end=False))
    held.complete(completion(1, 40))
    assert numbers(held.due(30 + SECOND)) == [3, 4, 2, 1]


def test_the_oldest_are_printed_as_they_are_when_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_HELD_CALLS", 4)
    held = HeldCalls()
    assert [numbers(held.add(call(number))) for number in range(6)] == [[], [], [], [0, 1], [], [2, 3]]
    assert numbers(held.rest()) == [4, 5]


EVENTS = st.one_of(
    st.tuples(st.just("call"), st.integers(0, 3 * SECOND), st.booleans()),  # how long it took so far
    st.tuples(st.just("completion"), st.integers(0, 30), st.just(False)),  # of which call
    st.tuples(st.just("wait"), st.integers(0, SECOND), st.just(False)),
)


@given(st.lists(EVENTS, max_size=60), st.integers(1, 8))
def test_every_call_is_printed_once_in_time_and_with_what_is_known(
    events: list[tuple[str, int, bool]], most: int
) -> None:
    held, now = HeldCalls(), 10 * SECOND
    ends, waiting, shown = list[int](), set[int](), list[int]()

    def show(calls: list[PrintedCall]) -> None:
        assert [call.end_ns for call in calls] == sorted(ends[call.connection] for call in calls)
        shown.extend(numbers(calls))
        waiting.difference_update(shown)

    with mock.patch.object(tuning, "MAX_HELD_CALLS", most):
        for kind, value, awaits_end in events:
            if kind == "call":
                number = len(ends)
                ends.append(now)
                waiting |= {number} if awaits_end else set()
                show(held.add(call(number, begin=now - value, end=now, awaits_end=awaits_end)))
                assert len(ends) - len(shown) < most
            elif kind == "completion":
                held.complete(completion(value, now))
                if value in waiting:
                    waiting.remove(value)
                    ends[value] = now
            elif kind == "wait":
                now += value
                show(held.due(now))
                assert all(now - end < SECOND for number, end in enumerate(ends) if number not in shown)
        show(held.rest())
    assert sorted(shown) == list(range(len(ends)))


def duration(text: str) -> str:
    (found,) = re.findall(r"Duration: (\S+) ms", text)
    return str(found)


class Console:
    """Keep the durations of the calls that are printed; `closes_after` so many it cannot print another."""

    def __init__(self, closes_after: int = 99) -> None:
        self.closes_after = closes_after
        self.durations: list[str] = []
        self.before: list[list[str]] = []

    def print(self, text: str) -> bool:
        self.durations.append(duration(text))
        return len(self.durations) < self.closes_after

    def look(self, _: SyntheticTracer) -> None:
        """Note, as a step of a round, what was printed before it."""
        self.before.append([*self.durations])


def recorded_call(number: int, *, t2: int, t3: int = 0, **values: int) -> Step:
    return lambda tracer: tracer.send_call(number, t2=t2, t3=t3 or t2, **values)


def completed(number: int, t3: int) -> Step:
    return lambda tracer: tracer.send_completion(number, t3)


def test_a_recording_prints_each_call_when_it_has_ended(tmp_path: Path) -> None:
    """The response of call 1 goes on, that of 2 began long ago, and 3 has none."""
    console = Console()
    first = [
        recorded_call(1, t0=NEVER, t2=NEVER + 5 * MS, t3=NEVER + 100 * MS),
        recorded_call(2, t2=120 * MS),
        recorded_call(3, t0=NEVER, t2=NEVER + 130 * MS, outcome=Outcome.RESET),
    ]
    record(tmp_path, [first, [console.look, completed(1, NEVER + 400 * MS)], [console.look]], print_call=console.print)
    assert console.before == [["120.00", "130.00"], ["120.00", "130.00", "400.00"]]
    assert console.durations == console.before[-1]


def test_a_completion_in_the_same_round_as_its_call_counts(tmp_path: Path) -> None:
    console = Console()
    record(tmp_path, [[recorded_call(1, t2=100 * MS), completed(1, 700 * MS)]], print_call=console.print)
    assert console.durations == ["700.00"]


def test_what_waits_at_the_end_is_printed_as_far_as_it_came(tmp_path: Path) -> None:
    """The response of call 1 had gone on when the recording ended; nothing more came of that of 2."""
    console = Console()

    def go_on(tracer: SyntheticTracer) -> None:
        tracer.hold_response(1, t2=NEVER + 100 * MS, t3=NEVER + 900 * MS)

    first = [recorded_call(number, t0=NEVER, t2=NEVER + 100 * MS) for number in (1, 2)]
    record(tmp_path, [[*first, go_on], [console.look]], print_call=console.print)
    assert console.before == [[]] and console.durations == ["100.00", "900.00"]


def test_a_call_waits_across_parts_and_keeps_the_number_of_its_stack(tmp_path: Path) -> None:
    texts: list[str] = []

    def show(text: str) -> bool:
        texts.append(text)
        return True

    def stacks(tracer: SyntheticTracer) -> None:
        for number in (7, 8, 9):
            tracer.send_stack(number)

    first = [stacks, recorded_call(1, t0=NEVER, t2=NEVER + 100 * MS, stack=9), rotate]
    record(tmp_path, [first, [completed(1, NEVER + 300 * MS)]], print_call=show)
    (text,) = texts
    assert duration(text) == "300.00" and "Stack ID: 3\n" in text


def test_a_console_that_is_gone_gets_nothing_more(tmp_path: Path) -> None:
    console = Console(closes_after=2)
    calls = [recorded_call(number, t2=number * MS) for number in range(1, 6)]
    record(tmp_path, [calls, [recorded_call(6, t2=MS)]], print_call=console.print)
    assert console.durations == ["1.00", "2.00"]


def enumerator(enum: str, name: str) -> int:
    return ENUMS[enum].index(name)


def left_open(folder: Path, method: str, **values: int) -> tuple[Totals, list[str]]:
    """Return the totals of a recording, with a threshold of 100 ms, that ends with one open connection, and the
    durations that it printed."""
    console = Console()
    totals, _, _ = record(
        folder,
        [[lambda tracer: getattr(tracer, method)(1, **values)]],
        threshold_ns=100 * MS,
        print_call=console.print,
    )
    assert len(console.durations) == totals.calls == totals.slow
    return totals, console.durations


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("hold_request", {"t0": 0}),
        # a tentative answer of HTTP/1 is a 1xx, after which the response is still to come
        ("hold_request", {"t0": 0, "t2": MS, "t3": MS, "is_tentative": 1, "protocol": enumerator("protocol", "HTTP1")}),
        # a server's first send has begun and not returned, with which the call would have been recorded
        ("hold_response", {"t2": 120 * MS, "t3": 120 * MS, "recorded": 0}),
    ],
)
def test_a_call_that_is_slow_and_open_at_the_end_is_in_flight(
    tmp_path: Path, method: str, values: dict[str, int]
) -> None:
    totals, durations = left_open(tmp_path, method, **values)
    assert (totals.calls, totals.fast.calls) == (1, 0) and float(durations[0]) > 120
    (part,) = parts_of(tmp_path)
    assert part.end.in_flight == part.end.emitted == part.end.recorded == 1


@pytest.mark.parametrize(
    ("method", "values", "duration_ns"),
    [
        ("hold_response", {"t2": MS, "t3": 20 * MS}, 20 * MS),  # it has rested since, for longer than the threshold
        ("hold_response", {"t2": 30 * MS, "t3": 900 * MS, "judged_by": 1}, 30 * MS),
        ("hold_request", {"t0": 0, "t2": MS, "t3": 2 * MS, "is_tentative": 1}, 2 * MS),
    ],
)
def test_a_call_that_is_answered_and_not_slow_at_the_end_is_counted(
    tmp_path: Path, method: str, values: dict[str, int], duration_ns: int
) -> None:
    totals, _ = left_open(tmp_path, method, **{"recorded": 0, **values})
    assert (totals.calls, totals.fast.calls, totals.fast.slowest_ns) == (0, 1, duration_ns)
    (part,) = parts_of(tmp_path)
    ledger = part.of(Lost)[-1]
    assert isinstance(ledger, Lost) and (sum(ledger.durations), ledger.slowest_ns) == (1, duration_ns)


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("hold_request", {"t0": 1 << 61}),  # too young
        ("hold_request", {"t0": 0, "wanted": 0}),
        ("hold_response", {"t2": MS, "t3": MS, "recorded": 0, "wanted": 0}),
        ("hold_response", {"t2": MS, "t3": 900 * MS, "recorded": enumerator("recorded", "RING_WAS_FULL")}),
        ("hold_response", {"t2": MS, "t3": 900 * MS, "recorded": 0, "phase": enumerator("phase", "IDLE")}),
    ],
)
def test_other_calls_that_are_open_at_the_end_are_neither(tmp_path: Path, method: str, values: dict[str, int]) -> None:
    """A call whose row was lost is counted by the kernel."""
    totals, _ = left_open(tmp_path, method, **values)
    assert (totals.calls, totals.fast.calls) == (0, 0)
    (part,) = parts_of(tmp_path)
    assert not part.of(Completions)
