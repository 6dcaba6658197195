"""Decide, from the ledger of a capture, whether completions were lost."""

from __future__ import annotations

from collections.abc import Mapping


def completions_lost(counts: Mapping[str, int]) -> bool:
    """Return whether a call without a completion may have had one that was lost."""
    return any("completion" in name and count > 0 for name, count in counts.items())
