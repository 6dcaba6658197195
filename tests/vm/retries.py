"""Hold a check of times in one boot of several, and count the boots in which it did not hold.

An emulated machine stands still whenever its host is busy, also between two readings of the clock. What the recorder
does wrong is wrong in every boot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

RETRIED = pytest.StashKey[list[str]]()  # of a run's config: a line for each boot that did not hold

Booted = TypeVar("Booted")


def hold(check: Callable[[Booted], None], boot: Callable[[int], Booted], most: int, retried: list[str]) -> None:
    """Check boot 0, then as many as it takes until one holds, at most `most`; add each other one to `retried`. Raises
    what the check raises of the last boot."""
    for number in range(most - 1):
        try:
            return check(boot(number))
        except AssertionError as error:
            retried.append(f"boot {number}: {str(error).partition(chr(10))[0]}")
    return check(boot(most - 1))


def summary(retried: list[str]) -> list[str]:
    """Return the lines that say at the end of a run which boots were retried; none if each held at once."""
    if not retried:
        return []
    return [f"checks of times that were retried in another boot of the guest: {len(retried)}", *retried]
