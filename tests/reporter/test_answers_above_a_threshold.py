"""Check answers about reports that leave out the calls below a threshold, which the capture has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from httpreport.answer.answer import Answer, Shorter
from httpreport.answer.decide import answers
from httpreport.answer.words import lines
from httpreport.report.aggregate import aggregate_of
from httpreport.report.evidence import HolderKind
from support import stories
from support.recordings import MS
from support.reports import reported
from support.staged_services import Ask, Stage
from support.stories import SHOP, STOCK, Story, named_in

SEEDS = range(4)


def answer_above(told: Story, milliseconds: int) -> Answer | None:
    report = reported(told.stage.capture(*told.records), milliseconds=milliseconds)
    return next(answers(aggregate_of(report, "run.cap", answer=True)), None)


@pytest.mark.parametrize("milliseconds", [15, 40, 100])
@pytest.mark.parametrize("make", [stories.many_calls, stories.slow_below, stories.slow_service, stories.slow_itself])
def test_nobody_is_said_to_hold_what_shorter_calls_hold(make: Callable[[int], Story], milliseconds: int) -> None:
    for seed in SEEDS:
        told = make(seed)
        answer = answer_above(told, milliseconds)
        if answer is None or answer.holding is None:
            continue
        holding, held = answer.holding, told.stage.held
        if holding.who.kind is HolderKind.ITSELF and holding.shorter is Shorter.NO:
            assert holding.least_ns <= 1.02 * held[named_in(answer)], (seed, answer)
        assert holding.who.kind is not HolderKind.UNSEEN or holding.who.other not in {"shop:9200", "stock:9400"}


def test_calls_that_are_too_short_for_the_report_are_said_to_hold_the_time() -> None:
    """As after a deploy that asks for each item: 20 calls of 6 ms for each request."""
    stage = Stage(1)
    for number in range(60):
        items = [Ask(STOCK, f"/items/{item}", [stage.noisy(6 * MS)]) for item in range(20)]
        stage.ask("load", Ask(SHOP, "/basket", [stage.noisy(3 * MS), *items]), number * 300 * MS)
    answer = answer_above(Story(stage, None), 100)
    assert answer is not None and answer.holding is not None
    assert answer.holding.shorter is Shorter.YES
    first, why, *_ = (line.text for line in lines(answer))
    assert first.startswith("GET /basket at shop:9200 takes ")
    assert why.startswith("calls of less than 100 ms that shop:9200 made: ")
    assert answer.holding.least_ns == pytest.approx(stage.held["stock:9400"], rel=0.05)


def test_what_a_process_did_for_another_route_before_is_not_extra() -> None:
    """One call of 60 ms has become twenty of 6 ms for other routes."""
    before, after = Stage(1), Stage(2)
    for number in range(60):
        bulk = Ask(STOCK, "/bulk", [before.noisy(60 * MS, 0.02)])
        items = [Ask(STOCK, f"/items/{item}", [after.noisy(6 * MS, 0.02)]) for item in range(20)]
        before.ask("load", Ask(SHOP, "/basket", [before.noisy(5 * MS), bulk]), number * 300 * MS)
        after.ask("load", Ask(SHOP, "/basket", [after.noisy(5 * MS), *items]), number * 300 * MS)
    both = Stage(0, calls=[*before.calls, *after.calls])
    answer = Story(both, None, cut=len(before.calls)).answer_between()
    assert answer is not None and answer.holding is not None and answer.holding.is_extra
    held = Counter({side: stage.held["stock:9400"] / 60 for side, stage in (("before", before), ("after", after))})
    assert answer.holding.least_ns <= 1.05 * (held["after"] - held["before"])
    assert answer.holding.least_ns <= answer.holding.of_ns
