"""Draw a flame graph: a box is as wide as the time that calls waited in its frame and in what it called, or as their
number.

The name of the process is below the outermost frame, and the name of the host is below that if there are several hosts.
A box's colour is that of its module.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from httpcapture.durations import duration_text

from ..calls.totals import Totals
from ..report.headline import title
from ..report.samples import Sample, ShownFrame, Weight
from .output import Reported, encoded
from .svg_tree import Look, Tree, draw


@dataclass
class _Box:
    """Hold one box: a frame, and the totals of the calls in it."""

    frame: ShownFrame
    totals: Totals = field(default_factory=Totals)


def report(reported: Reported) -> Iterable[bytes]:
    """Return the picture line by line."""
    whole = reported.whole
    return encoded(svg(whole.samples, reported.style.weight, title(whole)), "\n")


def svg(samples: Sequence[Sample], weight: Weight, title: str) -> Iterator[str]:
    """Yield the lines, without newlines."""
    root = _tree(samples)
    whole = root.value.totals
    subtitle = f"{duration_text(whole.time_ns)} in {whole.calls:,} calls; a box is as wide as its {weight.value}"
    return draw(root, lambda box: _look(box, weight, whole.time_ns), title, subtitle)


def _tree(samples: Sequence[Sample]) -> Tree[_Box]:
    root = Tree(_Box(ShownFrame("all")))
    for sample in samples:
        node = root
        node.value.totals += sample.totals
        for frame in (*map(ShownFrame, sample.above), *sample.stack.frames):
            node = node.children.setdefault(frame.label, Tree(_Box(frame)))
            node.value.totals += sample.totals
    return root


def _look(box: _Box, weight: Weight, whole_ns: int) -> Look:
    frame, totals = box.frame, box.totals
    share = f"{duration_text(totals.time_ns)}, {totals.time_ns / max(whole_ns, 1):.1%}, {totals.calls:,} calls"
    tooltip = "\n".join(filter(None, (frame.label, frame.module, share)))
    return Look(weight.of(totals), frame.label, tooltip, _colour(frame))


def _colour(frame: ShownFrame) -> str:
    """Return a light colour, on which black text is readable, or grey if there is no module."""
    if frame.module is None:
        return "#ddd"
    hue = zlib.crc32(frame.module.encode()) % 360
    return f"hsl({hue} 65% 78%)"
