"""Repeat a check of times in several boots until it passes once, and count the boots in which it failed.

An emulated machine stands still whenever its host is busy, even between two readings of the clock. A real fault of the
recorder shows in every boot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

RETRIED = pytest.StashKey[list[str]]()  # of a run's config: a line for each boot that did not hold

Booted = TypeVar("Booted")


def hold(check: Callable[[Booted], None], boot: Callable[[int], Booted], most: int, retried: list[str]) -> None:
    """Check boot 0, then further ones until one passes, at most `most`; add each failed boot to `retried`. Raises what
    the check raises for the last boot."""
    for number in range(most - 1):
        try:
            return check(boot(number))
        except AssertionError as error:
            retried.append(f"boot {number}: {str(error).partition(chr(10))[0]}")
    return check(boot(most - 1))


def summary(retried: list[str]) -> list[str]:
    """Return lines for the end of a run that say which boots were retried; none if every check passed at once."""
    if not retried:
        return []
    return [f"checks of times that were retried in another boot of the guest: {len(retried)}", *retried]
