"""Stage recordings whose cause is known, each in random variants, and judge what an answer says of them."""

from __future__ import annotations

import enum
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from httpcapture import Lost
from httpreport.answer.answer import AlsoKind, Answer
from httpreport.answer.compare import answers_between
from httpreport.answer.decide import answers
from httpreport.compare.changes import compare
from httpreport.report.aggregate import aggregate_of
from httpreport.report.evidence import HolderKind
from support.recordings import META, MS
from support.reports import reported
from support.staged_services import Ask, Service, Stage, Step

SHOP, STOCK = Service("shop", 9200), Service("stock", 9400)
PRICES, FRAUD = Service("prices", 9500), Service("api.fraud.example", 443, is_recorded=False)


NEAR = 3  # requests by which the moment of a change may be off


class Judgement(enum.Enum):
    """Say how what an answer says compares with what happened."""

    RIGHT = "right"
    SILENT = "silent"
    WRONG = "wrong"


@dataclass
class Story:
    """Hold a stage on which requests were made, and what must be told of them. `holder` held most of their time, or of
    the extra time since a change; it is None if nobody did, or nobody can know who did."""

    stage: Stage
    holder: str | None
    also: str | None = None  # what else stands out
    only: str | None = None  # the place that alone is slow
    changed_ns: tuple[int, int] | None = None  # between which starts of requests they became slower, or faster
    records: tuple[Any, ...] = ()
    cut: int = 0  # how many calls are of requests before the change
    threshold_ns: int = 0  # with which `recordings` are made

    def recordings(self) -> tuple[bytes, bytes]:
        """Return captures of the requests before the change, and since."""
        calls, cut = self.stage.calls, self.cut
        before, since = (replace(self.stage, calls=some) for some in (calls[:cut], calls[cut:]))
        return before.capture(threshold_ns=self.threshold_ns), since.capture(threshold_ns=self.threshold_ns)

    def answer_between(self) -> Answer | None:
        """Return the answer of a comparison of both."""
        reports = (reported(data, milliseconds=None) for data in self.recordings())
        comparison = compare(*(aggregate_of(report, "run.cap", answer=True) for report in reports))
        return next(answers_between(comparison.before, comparison.after), None)

    def answer(self) -> Answer | None:
        """Return the answer about a capture of all this."""
        report = reported(self.stage.capture(*self.records))
        return next(answers(aggregate_of(report, "run.cap", answer=True)), None)

    def judged_change(self, answer: Answer | None) -> Judgement:
        """Judge since when requests are said to take another time."""
        if not answer or not answer.change or answer.change.at_ns is None:
            return Judgement.SILENT
        at_ns = answer.change.at_ns - META.started_realtime_ns
        is_right = self.changed_ns is not None and self.changed_ns[0] <= at_ns <= self.changed_ns[1]
        return Judgement.RIGHT if is_right else Judgement.WRONG

    def judged_also(self, answer: Answer | None) -> Judgement:
        """Judge what else is said to stand out. That connections are not used again is told of any stage."""
        if not answer or not answer.also:
            return Judgement.SILENT
        true = "connects" if answer.also.kind is AlsoKind.CONNECTS and not self.stage.reuses else self.also
        return Judgement.RIGHT if answer.also.kind.value == true else Judgement.WRONG

    def judged_places(self, answer: Answer | None) -> Judgement:
        """Judge which place is said to be slow."""
        if not answer or not answer.places or answer.places.only is None:
            return Judgement.SILENT
        return Judgement.RIGHT if answer.places.only == self.only else Judgement.WRONG

    def judged_holder(self, answer: Answer | None) -> Judgement:
        """Judge who is said to hold the time."""
        named = answer and answer.holding and named_in(answer)
        if not named:
            return Judgement.SILENT
        assert answer and answer.holding
        is_most = not answer.holding.is_extra and 2 * self.stage.held[named] > answer.holding.of_ns
        return Judgement.RIGHT if named == self.holder or is_most else Judgement.WRONG


def named_in(answer: Answer) -> str:
    """Return the holder as a stage names it."""
    assert answer.holding is not None
    who = answer.holding.who
    return f"{who.process}:{who.port}" if who.kind is HolderKind.ITSELF else who.other


def story(
    seed: int, steps: Callable[[Stage], list[Step]], holder: Service | None, gap_ms: int = 0, **stage: Any
) -> Story:
    """Return requests of the shop which work in these steps, as many and as close to each other as the seed says."""
    draw = random.Random(seed)
    staged = Stage(seed, **{"reuses": draw.random() < 0.8, "round_trip_us": draw.choice([30, 200, 1500]), **stage})
    at, gap_ns = 0, (gap_ms or draw.choice([5, 40, 300])) * MS
    for number in range(draw.randrange(40, 120)):
        staged.ask("load", Ask(SHOP, "/checkout", steps(staged)), at, 1 + number)
        at += staged.noisy(gap_ns, 0.5)
    return Story(staged, holder.authority if holder else None)


def changing(seed: int, steps: Callable[[Stage], list[Step]], holder: Service | None, *, is_step: bool = True) -> Story:
    """Return the same, but at some moment the stage has changed; others ask for other things meanwhile. Without
    `is_step`, there is no moment since which requests take another time."""
    draw = random.Random(seed)
    staged, starts = Stage(seed, reuses=draw.random() < 0.8), [0]
    count, gap_ns = draw.randrange(90, 250), draw.choice([10, 150]) * MS
    split, cut = draw.randrange(35, count - 35), 0
    for number in range(count):
        cut = len(staged.calls) if number == split else cut
        staged.progress, staged.has_changed = number / count, number >= split
        staged.ask("load", Ask(SHOP, "/checkout", steps(staged)), starts[-1], 1 + number)
        if draw.random() < 0.3:
            staged.ask("load", Ask(SHOP, "/other", [own(staged, 3)]), starts[-1] + 1, 1001 + number)
        starts.append(starts[-1] + staged.noisy(gap_ns, 0.5))
    near = starts[max(split - NEAR, 0)], starts[min(split + NEAR, count)]
    return Story(staged, holder.authority if holder else None, changed_ns=near if is_step else None, cut=cut)


def own(stage: Stage, ms: float) -> int:
    return stage.noisy(ms * MS, 0.3)


def slow_upstream(seed: int) -> Story:
    return story(
        seed,
        lambda stage: [own(stage, 9), Ask(STOCK, "/items", [own(stage, 9)]), Ask(FRAUD, "/", [own(stage, 90)])],
        FRAUD,
    )


def slow_service(seed: int) -> Story:
    return story(
        seed,
        lambda stage: [own(stage, 5), Ask(STOCK, "/items/7", [own(stage, 80)]), Ask(FRAUD, "/", [own(stage, 9)])],
        STOCK,
    )


def slow_below(seed: int) -> Story:
    def steps(stage: Stage) -> list[Step]:
        return [own(stage, 5), Ask(STOCK, "/items/7", [own(stage, 4), Ask(PRICES, "/of/7", [own(stage, 60)])])]

    return story(seed, steps, PRICES)


def slow_itself(seed: int) -> Story:
    return story(seed, lambda stage: [own(stage, 70), Ask(STOCK, "/items", [own(stage, 9)]), own(stage, 5)], SHOP)


def slow_alone(seed: int) -> Story:
    """Nothing is asked."""
    return story(seed, lambda stage: [own(stage, 70)], SHOP)


def nobody(seed: int) -> Story:
    return story(
        seed,
        lambda stage: [own(stage, 30), Ask(STOCK, "/items", [own(stage, 30)]), Ask(FRAUD, "/", [own(stage, 30)])],
        None,
    )


def at_once(seed: int) -> Story:
    """Two are asked at once, and either alone would take as long."""

    def steps(stage: Stage) -> list[Step]:
        return [own(stage, 5), (Ask(STOCK, "/items", [own(stage, 80)]), Ask(PRICES, "/of", [own(stage, 80)]))]

    return story(seed, steps, None)


def thread_pool(seed: int) -> Story:
    """Calls are made by other threads, and many requests are open."""
    return story(seed, lambda stage: [own(stage, 9), Ask(FRAUD, "/", [own(stage, 90)])], FRAUD, gap_ms=5, has_pool=True)


def pool_of_one(seed: int) -> Story:
    """Calls are made by other threads, but there is one request at a time: their causes are probable, and no more."""
    return story(
        seed, lambda stage: [own(stage, 9), Ask(FRAUD, "/", [own(stage, 90)])], None, gap_ms=3000, has_pool=True
    )


def too_few(seed: int) -> Story:
    stage = Stage(seed)
    for number in range(random.Random(seed).randrange(1, 30)):
        stage.ask("load", Ask(SHOP, "/checkout", [own(stage, 90)]), number * 100 * MS)
    return Story(stage, SHOP.authority)


def lost(seed: int) -> Story:
    told = slow_itself(seed)
    return Story(told.stage, None, records=(Lost(1, {"call_ring_full": 4}),))


def slow_upstream_since(seed: int) -> Story:
    def steps(stage: Stage) -> list[Step]:
        asks_fraud = Ask(FRAUD, "/", [own(stage, 120 if stage.has_changed else 20)])
        return [own(stage, 40), Ask(STOCK, "/items", [own(stage, 9)]), asks_fraud]

    return changing(seed, steps, FRAUD)


def slow_service_since(seed: int) -> Story:
    def steps(stage: Stage) -> list[Step]:
        return [own(stage, 30), Ask(STOCK, "/items", [own(stage, 100 if stage.has_changed else 20)])]

    return changing(seed, steps, STOCK)


def slow_itself_since(seed: int) -> Story:
    """Most of the time is another's, before and since."""

    def steps(stage: Stage) -> list[Step]:
        return [own(stage, 70 if stage.has_changed else 5), Ask(STOCK, "/items", [stage.noisy(80 * MS, 0.05)])]

    return changing(seed, steps, SHOP)


def more_calls_since(seed: int) -> Story:
    """The deploy that asks for each item."""

    def steps(stage: Stage) -> list[Step]:
        count = 20 if stage.has_changed else 1
        return [own(stage, 15), *(Ask(STOCK, f"/items/{number}", [own(stage, 6)]) for number in range(count))]

    return replace(changing(seed, steps, STOCK), also="repeated")


def faster_since(seed: int) -> Story:
    def steps(stage: Stage) -> list[Step]:
        return [own(stage, 5), Ask(STOCK, "/items", [own(stage, 40 if stage.has_changed else 200)])]

    return changing(seed, steps, STOCK)


def several_since(seed: int) -> Story:
    """Three got slower by the same time."""

    def steps(stage: Stage) -> list[Step]:
        ms = 60 if stage.has_changed else 6
        return [own(stage, ms), Ask(STOCK, "/items", [own(stage, ms)]), Ask(FRAUD, "/", [own(stage, ms)])]

    return changing(seed, steps, None)


def steady(seed: int) -> Story:
    return changing(seed, lambda stage: [own(stage, 5), Ask(STOCK, "/items", [own(stage, 60)])], STOCK, is_step=False)


def wide(seed: int) -> Story:
    """Durations are spread over two decades."""

    def steps(stage: Stage) -> list[Step]:
        return [own(stage, 1), Ask(STOCK, "/items", [stage.noisy(40 * MS, 1.5)])]

    return changing(seed, steps, STOCK, is_step=False)


def little_by_little(seed: int) -> Story:
    def steps(stage: Stage) -> list[Step]:
        return [own(stage, 5), Ask(STOCK, "/items", [own(stage, 30 + 300 * stage.progress)])]

    return changing(seed, steps, STOCK, is_step=False)


def for_a_while(seed: int) -> Story:
    """An incident begins and ends."""

    def steps(stage: Stage) -> list[Step]:
        is_slow = 0.35 < stage.progress < 0.65
        return [own(stage, 5), Ask(STOCK, "/items", [own(stage, 200 if is_slow else 40)])]

    return changing(seed, steps, STOCK, is_step=False)


def in_waves(seed: int) -> Story:
    """Load comes and goes, and durations with it."""
    waves = random.Random(seed).randrange(1, 6)

    def steps(stage: Stage) -> list[Step]:
        load = 1 + math.sin(2 * math.pi * waves * stage.progress + seed)
        return [own(stage, 5), Ask(STOCK, "/items", [own(stage, 40 + 60 * load)])]

    return changing(seed, steps, STOCK, is_step=False)


def barely(seed: int) -> Story:
    """What changes is little, compared with the noise."""

    def steps(stage: Stage) -> list[Step]:
        return [own(stage, 5), Ask(STOCK, "/items", [own(stage, 55 if stage.has_changed else 50)])]

    return changing(seed, steps, STOCK, is_step=False)


def many_calls(seed: int) -> Story:
    """One call for each item, one after the other or all at once."""
    draw = random.Random(seed)
    count, is_at_once = draw.randrange(3, 30), draw.random() < 0.5

    def steps(stage: Stage) -> list[Step]:
        calls = [Ask(STOCK, f"/items/{number}", [own(stage, 8)]) for number in range(count)]
        return [own(stage, 4), *([tuple(calls)] if is_at_once else calls)]

    return replace(story(seed, steps, STOCK), also="repeated")


def two_calls(seed: int) -> Story:
    """Two are not many; nor are three that some requests make."""
    draw = random.Random(seed)

    def steps(stage: Stage) -> list[Step]:
        return [Ask(STOCK, f"/items/{number}", [own(stage, 8)]) for number in range(draw.choice([1, 2, 2, 3]))]

    return story(seed, steps, STOCK)


def tries_again(seed: int) -> Story:
    """What fails is asked again, up to three times."""
    draw = random.Random(seed)
    share = draw.uniform(0.5, 0.8)

    def steps(stage: Stage) -> list[Step]:
        tries = 1 + next((number for number in range(3) if draw.random() > share), 3)
        failed = [Ask(STOCK, "/items/7", [own(stage, 60)], status=503) for _ in range(tries - 1)]
        return [own(stage, 4), *failed, Ask(STOCK, "/items/7", [own(stage, 60)])]

    return replace(story(seed, steps, STOCK), also="again")


def works_through_a_list(seed: int) -> Story:
    """Some of many equal calls fail, but not because of that is the next one made."""
    draw = random.Random(seed)

    def steps(stage: Stage) -> list[Step]:
        statuses = [200, *draw.choices([200, 200, 503], k=6), 200]
        return [own(stage, 4), *(Ask(STOCK, "/jobs", [own(stage, 20)], status=status) for status in statuses)]

    return replace(story(seed, steps, STOCK), also="repeated")


def connects(seed: int) -> Story:
    return story(seed, lambda stage: [own(stage, 4), Ask(FRAUD, "/", [own(stage, 60)])], FRAUD, reuses=False)


def one_bad_host(seed: int) -> Story:
    draw = random.Random(seed)
    hosts = tuple(f"10.0.1.{number}" for number in range(draw.randrange(2, 4)))
    stock, bad = Service("stock", 9400, draw.random() < 0.5, hosts), draw.randrange(len(hosts))
    staged, at = Stage(seed), 0
    for number in range(40 * len(hosts)):
        ms = 300 if number % len(hosts) == bad else 25
        staged.ask("load", Ask(SHOP, "/checkout", [own(staged, 9), Ask(stock, "/", [own(staged, ms)])]), at, 1 + number)
        at += staged.noisy(40 * MS)
    return Story(staged, stock.authority, only=f"{hosts[bad]}:9400")


def equal_hosts(seed: int) -> Story:
    stock = Service("stock", 9400, places=("10.0.1.1", "10.0.1.2"))
    return story(seed, lambda stage: [own(stage, 9), Ask(stock, "/", [stage.noisy(90 * MS, 1.0)])], stock)


STANDING_OUT = (many_calls, two_calls, tries_again, works_through_a_list, connects, one_bad_host, equal_hosts)
CHANGING = (slow_upstream_since, slow_service_since, slow_itself_since, more_calls_since, faster_since, several_since)
NOT_CHANGING = (steady, wide, little_by_little, for_a_while, in_waves, barely)
WITH_A_HOLDER = (slow_upstream, slow_service, slow_below, slow_itself, slow_alone)
WITHOUT = (nobody, at_once, pool_of_one, too_few, lost)
HARD = (thread_pool,)

CAUSES: dict[Callable[[int], Story], tuple[str, ...]] = {
    **dict.fromkeys(CHANGING, ("change", "holder")),
    **dict.fromkeys(WITH_A_HOLDER, ("holder",)),
    several_since: ("change",),
    more_calls_since: ("change", "holder", "also"),
    tries_again: ("holder", "also"),
    many_calls: ("also",),
    connects: ("holder", "also"),
    one_bad_host: ("holder", "places"),
}
"""What is to be told of a story, in at least half of its variants."""
