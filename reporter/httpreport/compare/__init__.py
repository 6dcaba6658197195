"""`--baseline`: what changed from some captures to others.

`changes` compares two digests, `cautions` says what a reader of that could believe wrongly, `words` says it in a few
lines, `table` in a table; `terminal`, `folded` and `document` write it down, as do exports/differential.py and
page/comparison.py. `read` reads the captures.
"""

from __future__ import annotations

from .cautions import warnings
from .document import document
from .folded import folded
from .read import read_both
from .terminal import print_comparison

__all__ = ["document", "folded", "print_comparison", "read_both", "warnings"]
