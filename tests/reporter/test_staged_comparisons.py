"""Check answers about two staged recordings, before and after a change whose cause is known: right or silent, never
wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from httpreport.answer.answer import Silence
from httpreport.answer.words import lines
from httpreport.cli.main import main
from support import stories
from support.recordings import MS
from support.reports import VALIDATOR
from support.staged_services import Ask, Stage
from support.stories import SHOP, Judgement, Story

SEEDS = range(4)
SIDES = ("before", "after")
UNCHANGED = (stories.steady, stories.wide, stories.barely)
Make = Callable[[int], Story]


@pytest.mark.parametrize("make", stories.CHANGING)
def test_a_change_and_who_holds_the_extra_time_are_told_or_not_known(make: Make) -> None:
    right = Counter[str]()
    for seed in SEEDS:
        told = make(seed)
        answer = told.answer_between()
        assert answer is not None
        assert told.judged_holder(answer) is not Judgement.WRONG, (seed, answer)
        assert told.judged_also(answer) is not Judgement.WRONG, (seed, answer)
        right["change"] += answer.change is not None
        right["holder"] += told.judged_holder(answer) is Judgement.RIGHT
    for kind in stories.CAUSES[make]:
        assert kind == "also" or right[kind] >= len(SEEDS) / 2, kind


@pytest.mark.parametrize("make", UNCHANGED)
def test_of_noise_no_change_is_told(make: Make) -> None:
    for seed in SEEDS:
        answer = make(seed).answer_between()
        assert answer is not None
        assert answer.change is None
        assert next(lines(answer)).text.count(" before, which is no change that stands out") == 1


def test_more_calls_for_each_request_are_told_with_how_many_there_were_before() -> None:
    answer = stories.more_calls_since(1).answer_between()
    assert answer is not None
    said = {line.about: line.text for line in lines(answer)}
    assert said["also"] == "shop asks stock:9400 20 times for one request, one after the other, before 1 time"
    assert said["why"].startswith("stock:9400 itself, answering GET /items/{n}, asked 20 times for one request: ")


def test_requests_that_were_not_there_before_are_no_change() -> None:
    before, after = Stage(1), Stage(2)
    for number in range(40):
        before.ask("load", Ask(SHOP, "/cart", [90 * MS]), number * 100 * MS)
        after.ask("load", Ask(SHOP, "/new", [300 * MS]), number * 400 * MS)
    answer = Story(Stage(0, calls=[*before.calls, *after.calls]), None, cut=len(before.calls)).answer_between()
    assert answer is not None and answer.silence is Silence.FEW
    assert next(lines(answer)).text == "GET /new at shop:9200: 40 requests took 12 s in all; none before"


def reported(folder: Path, told: Story, *options: str) -> str:
    paths = folder / "before.cap", folder / "after.cap"
    for path, data in zip(paths, told.recordings()):
        path.write_bytes(data)
    ran = CliRunner().invoke(main, ["--baseline", *map(str, paths), *options], env={"COLUMNS": "160"})
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_terminal_page_and_json_say_the_same(tmp_path: Path) -> None:
    told = stories.slow_upstream_since(1)
    answer = told.answer_between()
    assert answer is not None and answer.change is not None
    texts = [line.text for line in lines(answer)]
    page = tmp_path / "page.html"
    printed = reported(tmp_path, told, "--html", str(page))
    document: dict[str, Any] = json.loads(reported(tmp_path, told, "--json"))
    VALIDATOR.validate(document)

    assert [line["text"] for line in document["answers"][0]["text"]] == texts
    assert document["answers"][0]["change"]["at"] is None
    assert [text for text in texts if text not in printed] == []
    assert json.dumps(texts[0]) in page.read_text()
    assert texts[0].startswith("GET /checkout at shop:9200 takes ")
    assert " before" in texts[0] and " since " not in texts[0]


@pytest.mark.parametrize("make", [stories.slow_service_since, stories.slow_itself_since])
def test_whose_self_time_grew_is_first(make: Make, tmp_path: Path) -> None:
    told = make(1)
    printed = reported(tmp_path, told, "-o", str(tmp_path))
    document: dict[str, Any] = json.loads(reported(tmp_path, told, "--json"))
    VALIDATOR.validate(document)

    grown, *others = document["self_times"]
    assert told.holder is not None and told.holder.startswith(grown["process"])
    assert grown["added_ns"]["least_ns"] > 2 * max(abs(other["added_ns"]["most_ns"]) for other in others)
    for process in ("shop", "stock"):
        sides = [each[side] for each in document["self_times"] if each["process"] == process for side in SIDES]
        held = sum(ns for name, ns in told.stage.held.items() if name.startswith(process))
        assert all(side["least_ns"] == side["most_ns"] for side in sides)
        assert sum(side["least_ns"] for side in sides) == pytest.approx(held, rel=0.02)
    first = printed[printed.index("self time of each request that a process answered") :].splitlines()[1]
    assert first.endswith(f"{grown['process']}: {grown['method']} {grown['route']} at {grown['authority']}")


def above_100_ms(before: Stage, after: Stage) -> Story:
    """Return the comparison of two recordings with a threshold of 100 ms."""
    for stage in (before, after):
        stage.calls = [call for call in stage.calls if call.row.duration_ns >= 100 * MS]
    both = Stage(0, calls=[*before.calls, *after.calls])
    return Story(both, None, cut=len(before.calls), threshold_ns=100 * MS)


def test_where_the_threshold_cuts_off_many_no_change_is_told() -> None:
    """Requests that took 30 to 300 ms take 110 ms now. Of those above the threshold of 100 ms, the median is less."""
    before, after = Stage(1), Stage(2)
    for number in range(200):
        before.ask("load", Ask(SHOP, "/cart", [before.noisy(90 * MS, 0.8)]), number * 1000 * MS)
        after.ask("load", Ask(SHOP, "/cart", [after.noisy(110 * MS, 0.03)]), number * 1000 * MS)
    told = above_100_ms(before, after)
    cut = len(before.calls)
    answer = told.answer_between()
    assert answer is not None and answer.silence is Silence.CUT and answer.change is None
    first, why = (line.text for line in lines(answer))
    assert " requests of 100 ms or more took " in first and first.endswith(f"; {cut // 2} before")
    assert why.startswith("not said, because many take about that long")


def test_a_change_of_others_is_told_where_the_threshold_cuts_off_those_that_grow_most() -> None:
    before, after = Stage(1), Stage(2)
    for number in range(200):
        before.ask("load", Ask(SHOP, "/cart", [before.noisy(90 * MS, 0.8)]), number * 2000 * MS)
        after.ask("load", Ask(SHOP, "/cart", [after.noisy(900 * MS, 0.03)]), number * 2000 * MS)
    for number in range(50):
        before.ask("load", Ask(SHOP, "/pay", [before.noisy(300 * MS, 0.03)]), (number * 2000 + 1000) * MS)
        after.ask("load", Ask(SHOP, "/pay", [after.noisy(400 * MS, 0.03)]), (number * 2000 + 1000) * MS)
    answer = above_100_ms(before, after).answer_between()
    assert answer is not None and answer.change is not None
    assert next(lines(answer)).text.startswith("GET /pay at shop:9200 takes ")
