"""Check which languages `--languages` names."""

from __future__ import annotations

import click
import pytest

from httprec.options import languages

COMMAND = click.Command("httprec", params=[click.Option(["--languages"], callback=languages, default="python,php")])


def parsed(text: str) -> frozenset[str]:
    found = COMMAND.make_context("httprec", ["--languages", text]).params["languages"]
    assert isinstance(found, frozenset)
    return found


@pytest.mark.parametrize(
    ("text", "named"),
    [("all", {"python", "php", "node"}), ("none", set()), ("php", {"php"}), ("node,python", {"python", "node"})],
)
def test_a_list_names_languages(text: str, named: set[str]) -> None:
    assert parsed(text) == named


@pytest.mark.parametrize("text", ["ruby", "", "python,", "all,php"])
def test_another_word_is_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(click.BadParameter, match="python, php, node; or give all or none"):
        parsed(text)
