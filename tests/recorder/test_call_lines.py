"""Check the line that `--print lines` prints of a call, and the lines about the most frequent calls."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Outcome, Role
from httprec import tuning
from httprec.asked import Asked, NewestAsked
from httprec.call_lines import HEADS, call_line, columns
from httprec.call_text import PrintedCall
from httprec.frequent_calls import FrequentCalls
from httprec.kept_heads import Head

MS = 1_000_000
BEGAN_NS = 1_700_000_000_123_000_000  # 22:13:20.123 UTC


CHECKOUT = Asked("POST", "/checkout", "200")
CALL = PrintedCall(7, 1, 0, 561 * MS, 10, False, 42, "worker", 0, "10.0.3.5", "10.0.4.2", 9300, "shop", Role.CLIENT)


def call(**values: Any) -> PrintedCall:
    return CALL._replace(**values)


def words(one: PrintedCall, asked: Asked = CHECKOUT) -> list[str]:
    return re.split(r" {2,}", call_line(one, asked, BEGAN_NS).rstrip("\n").replace("123 ", "123  "))


def test_a_line_says_when_how_long_who_what_and_the_status() -> None:
    assert words(call()) == ["22:13:20.123", "561 ms", "shop > 10.0.4.2:9300", "POST /checkout", "200"]


@pytest.mark.parametrize(
    ("values", "who"),
    [
        ({"role": Role.SERVER}, "shop:9300 < 10.0.3.5"),
        ({"role": Role.UNKNOWN}, "shop - 10.0.4.2:9300"),
        ({"destination": "2001:db8::1"}, "shop > [2001:db8::1]:9300"),
    ],
)
def test_a_server_has_its_own_port_and_a_client_that_of_its_peer(values: dict[str, Any], who: str) -> None:
    assert words(call(**values))[2] == who


def test_what_is_not_known_is_shown_as_that() -> None:
    assert words(call(), Asked())[3:] == ["-", "-"]
    assert words(call(is_encrypted=True), Asked())[3:] == ["TLS", "-"]
    assert words(call(outcome=Outcome.RESET), Asked("GET", "/"))[3:] == ["GET /", "reset"]
    assert words(call(outcome=Outcome.IN_FLIGHT), Asked("GET", "", "200"))[3:] == ["GET", "in flight"]


def test_columns_are_even_and_fit_into_80() -> None:
    lines = [columns(HEADS), call_line(call(), CHECKOUT, BEGAN_NS)]
    assert [line.index(word) for line, word in zip(lines, ("STATUS", "200"))] == [76, 76]
    assert all(len(line) <= 83 for line in lines)


def head(text: bytes, *, is_response: bool = False) -> Head:
    return Head(7, 1, is_response, text)


@pytest.mark.parametrize(
    ("request_head", "response_head", "asked"),
    [
        (b"GET /a/{...}?... HTTP/1.1\nhost: api", b"HTTP/1.1 404\n...", Asked("GET", "/a/{...}", "404")),
        (b"GET /a", b"", Asked("GET", "", "")),
        (b"POST ? ?\n...", b"HTTP/2 ?", Asked("POST", "", "")),
        (b"? ? ?\nhost: api", b"HTTP/2 200\ngrpc-status: 0", Asked("", "", "200")),
    ],
)
def test_what_was_asked_is_the_first_line_of_the_written_head(
    request_head: bytes, response_head: bytes, asked: Asked
) -> None:
    newest = NewestAsked()
    newest.add(head(response_head, is_response=True))
    newest.add(head(request_head))
    assert newest.of(7, 1) == asked
    assert newest.of(7, 2) == Asked()


@given(st.binary(max_size=80), st.booleans())
def test_no_head_reaches_the_terminal_with_a_control_character(text: bytes, is_response: bool) -> None:
    newest = NewestAsked()
    newest.add(head(text, is_response=is_response))
    line = call_line(call(), newest.of(7, 1), BEGAN_NS)
    assert line.count("\n") == 1 and line[:-1].isprintable()


def test_only_the_newest_heads_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MAX_PRINTED_HEADS", 2)
    newest = NewestAsked()
    for number in range(4):
        newest.add(Head(number, 1, False, b"GET / HTTP/1.1"))
    assert [newest.of(number, 1).method for number in range(4)] == ["", "", "GET", "GET"]


def test_the_three_most_frequent_kinds_are_listed_with_their_longest_call() -> None:
    frequent = FrequentCalls()
    for number, (asked, times) in enumerate(
        ((Asked("GET", "/a/17"), 1200), (Asked("GET", "/b"), 3), (Asked("PUT", "/c/5/d"), 20), (Asked(), 1))
    ):
        for each in range(times):
            frequent.add(call(end_ns=(number + 1) * 100 * MS + each), asked)
    assert frequent.lines() == [
        "  1,200  up to 100 ms  GET /a/{n}    shop > 10.0.4.2:9300",
        "     20  up to 300 ms  PUT /c/{n}/d  shop > 10.0.4.2:9300",
        "      3  up to 200 ms  GET /b        shop > 10.0.4.2:9300",
    ]
    assert FrequentCalls().lines() == []


def test_both_ends_are_kinds_of_their_own_and_clients_of_a_server_are_not() -> None:
    frequent = FrequentCalls()
    for source in ("10.0.0.1", "10.0.0.2"):
        frequent.add(call(role=Role.SERVER, source=source), Asked("GET", "/"))
        frequent.add(call(source=source), Asked("GET", "/"))
    assert [line.split()[0] for line in frequent.lines()] == ["2", "2"]


@given(st.lists(st.integers(0, 9)), st.integers(1, 12))
def test_a_listed_kind_has_all_its_calls_and_none_is_listed_if_there_are_too_many(
    numbers: list[int], most: int
) -> None:
    frequent = FrequentCalls()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "MAX_COUNTED_KINDS", most)
        for number in numbers:
            frequent.add(call(), Asked("GET", f"/{'x' * number}"))
    counts = Counter(f"/{'x' * number}" for number in numbers)
    listed = {line.split()[6]: int(line.split()[0]) for line in frequent.lines()}
    assert len(listed) == (min(len(counts), 3) if len(counts) <= most else 0)
    assert all(counts[path] == count for path, count in listed.items())
