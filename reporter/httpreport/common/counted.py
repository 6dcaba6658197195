"""Write how many things there are."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a number with a noun that takes an s in the plural: `1 call`, `1,234 calls`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
