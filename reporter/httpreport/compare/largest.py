"""Choose the largest of some changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Change = TypeVar("Change")


def largest(changes: Sequence[Change], most: int, added_ns: Callable[[Change], int]) -> list[Change]:
    """Return the `most` changes with the largest difference, in their order. `added_ns` returns that of one."""
    ranked = sorted(range(len(changes)), key=lambda index: -abs(added_ns(changes[index])))
    return [changes[index] for index in sorted(ranked[:most])]
