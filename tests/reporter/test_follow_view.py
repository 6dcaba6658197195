"""Check what keys do to the view of a growing capture, what the screen shows, and the lines without a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from httpcapture import Outcome
from httpreport.follow.keys import keys_of
from httpreport.follow.lines import Told, tell
from httpreport.follow.rows import HEADS, Row
from httpreport.follow.screen import Source, render
from httpreport.follow.state import State
from httpreport.follow.view import BACKSPACE, DOWN, ENTER, ESCAPE, UP, View, items, pressed
from support.growing import asked, states, written_in_turns
from support.hostile import HOSTILE
from support.recordings import MS, capture
from support.recordings import Row as Recorded

CALLS = [
    asked(1, "/users/17", 100),
    asked(2, "/users/18", 300),
    asked(3, "/health", 350),
    asked(4, "/health", 30, outcome=Outcome.RESET, start_ns=900 * MS),
    asked(5, "/reset/me", 20),
]
SOURCE = Source("run.cap")
USERS, HEALTH, RESET = (
    "client GET /users/{n} at api:80",
    "client GET /health at api:80",
    "client GET /reset/me at api:80",
)


@pytest.fixture(scope="module")
def state() -> State:
    return states(written_in_turns([CALLS], {}, has_end=False))[-1]


def after(state: State, *keys: str, view: View | None = None) -> View:
    view = view or View()
    for key in keys:
        view = pressed(view, key, items(state, view))
    return view


def names(state: State, view: View) -> list[object]:
    """Return the names of the rows that are listed, or the sequences of the calls."""
    return [item.name if isinstance(item, Row) else item.call.sequence for item in items(state, view)]


def shown(state: State, view: View, source: Source = SOURCE, width: int = 100, height: int = 24) -> str:
    out = Console(file=io.StringIO(), width=width, height=height, markup=False, highlight=False, emoji=False)
    with out.capture() as captured:
        out.print(render(state, view, source, height))
    return captured.get()


def test_keys_are_told_from_what_a_terminal_sends() -> None:
    assert keys_of(b"sq\r\x1b[A\x1bOB\x1b[5~\x7f\x1b\xc3\xa9\xff\x00") == [
        *("s", "q", ENTER, UP, DOWN, BACKSPACE, ESCAPE, "\N{LATIN SMALL LETTER E WITH ACUTE}"),
    ]


def test_rows_are_sorted_by_what_the_user_chooses(state: State) -> None:
    assert names(state, View()) == [USERS, HEALTH, RESET]
    by_errors = after(state, "s", "s", "s")
    assert (by_errors.sort, names(state, by_errors)[0]) == ("errors", HEALTH)
    assert after(state, *"sssssss") == View()


def test_rows_are_filtered_by_what_the_user_types(state: State) -> None:
    typing = after(state, *"/uSx", BACKSPACE)
    assert (typing.is_typing, names(state, typing)) == (True, [USERS])
    assert "filter: uS_" in shown(state, typing)
    kept = after(state, ENTER, view=typing)
    assert (kept.is_typing, names(state, kept)) == (False, [USERS])
    assert after(state, ESCAPE, view=kept) == View()


def test_a_row_is_opened_then_a_call_and_closed_again(state: State) -> None:
    row = after(state, DOWN, ENTER)
    assert (row.row, names(state, row)) == (HEALTH, [3, 4])
    assert names(state, after(state, "s", view=row)) == [4, 3]
    call = after(state, DOWN, ENTER, view=row)
    assert call.call is not None
    assert call.call.call.sequence == 4
    assert after(state, ESCAPE, ESCAPE, view=call) == View(selected=HEALTH)


def test_the_selected_row_stays_selected_when_others_pass_it(state: State) -> None:
    down = after(state, DOWN)
    more = states(written_in_turns([[*CALLS, asked(6, "/health", 900)]], {}, has_end=False))[-1]
    assert names(more, down)[0] == HEALTH
    assert after(more, DOWN, view=down).selected == USERS


def test_the_screen_shows_rows_and_the_newest_calls(state: State) -> None:
    lines = [line.split() for line in shown(state, View()).splitlines()]
    assert lines[3:5] == [["sorted", "by", "time,", "the", "whole", "recording"], [*HEADS, "route"]]
    assert [(line[0], line[2], " ".join(line[-4:])) for line in lines[5:8]] == [
        *(("2", "0", "GET /users/{n} at api:80"), ("2", "1", "GET /health at api:80")),
        ("1", "0", "GET /reset/me at api:80"),
    ]
    assert ["350", "ms", "200", "nova-api", ">", "192.168.1.20:80", "GET", "/health"] in [line[1:] for line in lines]
    assert ["30", "ms", "reset", "nova-api", ">", "192.168.1.20:80", "GET", "/health"] in [line[1:] for line in lines]
    assert ["UTC", "so", "far", "status", "who", "what"] in lines


@pytest.mark.parametrize("height", [4, 10, 24, 60])
def test_the_screen_fits_as_far_as_it_can(state: State, height: int) -> None:
    many = [asked(number, f"/{'x' * number}", 100) for number in range(1, 50)]
    full = states(written_in_turns([many], {}, has_end=False))[-1]
    for view in (View(), after(full, ENTER)):
        lines = shown(full, view, width=80, height=height).splitlines()
        assert len(lines) <= max(height, 17)
        assert max(map(len, lines)) <= 80


def test_a_call_is_shown_with_the_command_for_its_stack(state: State) -> None:
    text = shown(state, after(state, ENTER, ENTER), width=150)
    assert "Request    GET /users/18" in text
    assert "Duration   at least 300 ms" in text
    assert "httpreport run.cap --pid 12345 -t 300 --since 2023-11-14T22:13:20" in text


def test_without_keys_the_screen_says_how_to_end_it(state: State) -> None:
    assert shown(state, View(), Source("run.cap", "", False)).splitlines()[-1].strip() == "Ctrl-C ends the view"


def test_hostile_texts_are_printable() -> None:
    rows = [Recorded(sequence=n, process=name.recorded, comm=name.recorded) for n, name in enumerate(HOSTILE)]
    hostile = states(capture(rows, threshold_ns=0, host="a\x1b[31m", end=False))[-1]
    source = Source("a\x1b]0;x\x07.cap")
    row = after(hostile, ENTER)
    screens = [shown(hostile, view, source, 300, 60) for view in (View(), row, after(hostile, ENTER, view=row))]
    lines, _ = tell(hostile, Told(), is_last=True)
    for text in [*"".join(screens).splitlines(), *lines]:
        assert text.isprintable()
    for name in HOSTILE:
        assert name.shown in screens[0]
        assert any(name.shown in line for line in lines)


def test_a_call_is_told_of_once_when_its_head_has_come() -> None:
    turns = [CALLS[:2], CALLS[2:3], []]
    sizes = [len(written_in_turns(turns[:count], {}, has_end=False)) for count in (1, 2)]
    told, printed = Told(), []
    for one in states(written_in_turns(turns, {}), sizes):
        lines, told = tell(one, told)
        printed.append([line.split("GET ")[1] for line in lines])
    lines, told = tell(one, told, is_last=True)
    assert printed == [[], ["/users/17", "/users/18"], ["/health"]]
    assert (lines, told.count) == ([], 3)
