"""Check that a check of times may pass in a later boot, and that each boot in which it failed is counted."""

from __future__ import annotations

import pytest

from vm.retries import hold, summary


def holds_from(number: int) -> tuple[list[str], list[int]]:
    """Run a check that passes from this boot on; return what was retried and which boots were asked for."""
    asked: list[int] = []
    retried: list[str] = []

    def boot(asked_for: int) -> int:
        asked.append(asked_for)
        return asked_for

    def check(booted: int) -> None:
        if booted < number:
            raise AssertionError(f"{booted} is too slow\nand more")

    hold(check, boot, 3, retried)
    return retried, asked


def test_a_check_that_holds_at_once_retries_nothing_and_says_nothing() -> None:
    retried, asked = holds_from(0)
    assert (retried, asked, summary(retried)) == ([], [0], [])


def test_each_boot_that_did_not_hold_is_counted_and_printed() -> None:
    retried, asked = holds_from(2)
    assert asked == [0, 1, 2]
    assert summary(retried) == [
        "checks of times that were retried in another boot of the guest: 2",
        "boot 0: 0 is too slow",
        "boot 1: 1 is too slow",
    ]


def test_a_check_that_holds_in_no_boot_fails() -> None:
    with pytest.raises(AssertionError, match="2 is too slow"):
        holds_from(3)
