"""Check the expressions of --path against Python's `re`, and that no text takes them long."""

from __future__ import annotations

import re
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpreport.common import safe_regex
from httpreport.common.safe_regex import glob, regular_expression

ATOMS = st.sampled_from(["a", "b", "/", r"\.", ".", "[ab]", "[^a]", r"\d", r"\W", "[a-c/]", r"[\d-]", "1"])


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeat = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}"])
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, repeat).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


EXPRESSIONS = st.tuples(
    st.sampled_from(["", "^"]), st.recursive(ATOMS, combined, max_leaves=8), st.sampled_from(["", "$"])
)


@given(EXPRESSIONS.map("".join), st.lists(st.text("abc1/.-", max_size=8), min_size=1, max_size=8))
@settings(max_examples=500)
def test_an_expression_finds_what_pythons_finds(expression: str, texts: list[str]) -> None:
    matcher, expected = regular_expression(expression), re.compile(expression, re.ASCII | re.DOTALL)

    assert [matcher.matches(text) for text in texts] == [bool(expected.search(text)) for text in texts]


@pytest.mark.parametrize(
    ("text", "hits", "misses"),
    [
        ("/users/*", ["/users/17", "/users/"], ["/users/17/posts", "/users", "/x/users/1"]),
        ("/users/**", ["/users/17", "/users/17/posts", "/users/"], ["/users"]),
        ("/**/posts", ["/users/17/posts", "//posts"], ["/posts", "/users/posts/1"]),
        ("**", ["", "/a/b"], []),
        ("/a?c", ["/abc"], ["/a/c", "/ac"]),
        ("/a.c+", ["/a.c+"], ["/abc+", "/a.cc"]),
        ("/v*/servers/*", ["/v2/servers/{...}"], ["/v2/x/servers/1"]),
    ],
)
def test_a_star_stops_at_a_slash_and_two_do_not(text: str, hits: list[str], misses: list[str]) -> None:
    matcher = glob(text)

    assert [hit for hit in hits if not matcher.matches(hit)] == []
    assert [miss for miss in misses if matcher.matches(miss)] == []


@pytest.mark.parametrize(
    "text",
    [
        *("(", ")", "a)", "[a", "*", "a**", "a{", "a{2,1}", "a{9999}", "(a{99}){99}", r"\b", r"(a)\1", "(?=a)", "a^"),
        *("$a", "[b-a]", "\\", "^a|b$", "a{1}{2}", "(?P<n>a)", "(" * 99 + ")" * 99, "[", "a{x}"),
    ],
)
def test_an_expression_that_is_not_possible_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        regular_expression(text)


def test_an_expression_that_takes_re_exponential_time_takes_as_many_steps_as_the_text_is_long() -> None:
    matcher = regular_expression("^(a+)+(a|aa)*b$")
    steps = 0
    follow = matcher._follow

    def counted(current: frozenset[int], character: str) -> frozenset[int]:
        nonlocal steps
        steps += 1
        return follow(current, character)

    matcher._next = counted  # type: ignore[assignment]  # the same function, without what it remembers

    assert not matcher.matches("a" * 2000)
    assert steps == 2000


def test_what_is_remembered_is_bounded() -> None:
    with mock.patch.object(safe_regex, "MAX_SETS", 2):
        matcher = regular_expression("a.{12}b")
    for number in range(1 << 7):
        matcher.matches(f"{number:b}".replace("0", "a") * 3)

    assert matcher._next.cache_info().currsize == 2 * safe_regex.STEPS_OF_A_SET
