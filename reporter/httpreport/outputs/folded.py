"""Write stacks.folded: `process;outermost;...;leaf WEIGHT`, which flamegraph.pl and similar tools read
(report/folding.py)."""

from __future__ import annotations

from collections.abc import Iterable

from ..report.folding import folded
from .output import Reported, encoded


def report(reported: Reported) -> Iterable[bytes]:
    """Return the lines, sorted by their bytes."""
    return encoded(folded(reported.whole.samples, reported.style.weight), "\n")
