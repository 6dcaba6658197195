"""Write stacks.diff.folded: `process;outermost;...;leaf BEFORE AFTER`, as difffolded.pl does.

flamegraph.pl draws it as a differential flame graph. The weights are those of stacks.folded (`report/folding.py`). The
weight before is scaled to the length of the recording after and rounded down. A stack that one side lacks has 0 there.
"""

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
    for change in sorted(comparison.stacks, key=lambda change: change.stack.encode()):
        yield f"{change.stack} {comparison.scaled(by.folded(change.before))} {by.folded(change.after)}"
