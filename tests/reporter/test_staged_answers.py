"""Check answers about staged recordings whose cause is known: each is right or silent, never wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from httpcapture import Lost
from httpreport.answer.answer import Silence
from support import stories
from support.stories import Judgement, Story

SEEDS = range(4)
EVERY = (
    *(stories.STANDING_OUT + stories.CHANGING + stories.NOT_CHANGING),
    *(stories.WITH_A_HOLDER + stories.WITHOUT + stories.HARD),
)
TAKE_CALLS = ("call_ring_full", "completion_ring_full", "head_ring_full", "probe_missed", "of_a_later_version")
Make = Callable[[int], Story]


@pytest.mark.parametrize("make", EVERY)
def test_what_is_said_is_never_wrong_and_silence_has_a_reason(make: Make) -> None:
    right = Counter[str]()
    for seed in SEEDS:
        told = make(seed)
        answer = told.answer()
        assert answer is not None
        assert (answer.silence is None) <= (answer.holding is not None)
        for judge in (told.judged_holder, told.judged_change, told.judged_also, told.judged_places):
            judgement = judge(answer)
            assert judgement is not Judgement.WRONG, (judge.__name__, seed, answer)
            right[judge.__name__] += judgement is Judgement.RIGHT
    for kind in stories.CAUSES.get(make, ()):
        assert right[f"judged_{kind}"] >= len(SEEDS) / 2, kind


@pytest.mark.parametrize("cause", TAKE_CALLS)
def test_after_losses_that_may_take_calls_no_reason_is_given(cause: str) -> None:
    assert silence_after(cause) is Silence.INCOMPLETE


def test_after_losses_of_stacks_only_the_answer_stands() -> None:
    assert silence_after("stack_ring_full") is None


def silence_after(cause: str) -> Silence | None:
    told = stories.slow_itself(1)
    told.records = (Lost(1, {cause: 4}),)
    answer = told.answer()
    assert answer is not None
    return answer.silence


def test_of_lost_calls_and_of_few_requests_no_reason_is_given() -> None:
    answers = [make(1).answer() for make in (stories.lost, stories.too_few)]
    assert [answer and answer.silence for answer in answers] == [Silence.INCOMPLETE, Silence.FEW]
