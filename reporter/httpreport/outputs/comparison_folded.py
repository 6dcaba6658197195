"""stacks.diff.folded: `process;outermost;...;leaf BEFORE AFTER`, the lines of difffolded.pl, which flamegraph.pl draws
as a differential.

The weights are those of stacks.folded (`report/folding.py`), what was before scaled to the length of the recording
after, and cut down to a whole number. A stack that one side lacks has 0 there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..compare.changes import Comparison
from ..report.samples import Weight
from .output import Compared, encoded


def comparison(compared: Compared) -> Iterable[bytes]:
    """Return the lines, sorted by their bytes."""
    return encoded(folded(compared.comparison, compared.style.weight), "\n")


def folded(comparison: Comparison, by: Weight = Weight.TIME) -> Iterator[str]:
    """Yield the lines, without newlines, sorted by their bytes."""
    for stack, before, after in sorted(comparison.stacks, key=lambda change: change.stack.encode()):
        yield f"{stack} {comparison.scaled(by.folded(before))} {by.folded(after)}"
