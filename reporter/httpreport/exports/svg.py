"""A flame graph as one static SVG: no script, so it may be mailed, printed or put into a wiki.

The outermost frame is at the bottom, above the process's name and, where there are several, the host's; a box is as
wide as the time that calls waited in it and in what it called, or as their number. Boxes stand in the order of their
names, as flamegraph.pl has them. A box's colour is that of its module, and its whole text is in the tooltip (`<title>`)
that every browser shows.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from ..samples import Place, Sample, Weight
from ..sums import Sums

WIDTH, ROW, MARGIN, TOP = 1200, 17, 10, 44  # pixels
CHARACTER = 7.2  # of the 12 px font, pixels
NARROWEST = 0.3  # a box that is narrower is left out, pixels
_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"
 font-family="ui-monospace, monospace" font-size="12" role="img">
<title>{title}</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="{margin}" y="20" font-size="15">{title}</text>
<text x="{margin}" y="37" fill="#555">{subtitle}</text>"""
_BOX = '<g><title>{title}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" fill="{fill}"/>'
_TEXT = '<text x="{x:.1f}" y="{y}">{text}</text></g>'


@dataclass
class _Node:
    place: Place
    sums: Sums = field(default_factory=Sums)
    children: dict[str, _Node] = field(default_factory=dict)

    def child(self, place: Place) -> _Node:
        return self.children.setdefault(place.label, _Node(place))


def svg(samples: Sequence[Sample], weight: Weight, title: str) -> Iterator[str]:
    """The lines, without newlines."""
    root = _tree(samples)
    boxes = list(_boxes(root, weight))
    height = TOP + MARGIN + ROW * (1 + max(depth for _, depth, _ in boxes))
    subtitle = f"{_milliseconds(root.sums)} in {root.sums.calls:,} calls; a box is as wide as its {weight.value}"
    yield _HEAD.format(width=WIDTH, height=height, margin=MARGIN, title=escape(title), subtitle=escape(subtitle))
    scale = (WIDTH - 2 * MARGIN) / max(weight.of(root.sums), 1)
    for node, depth, start in boxes:
        width = weight.of(node.sums) * scale
        if width >= NARROWEST:
            yield _box(node, MARGIN + start * scale, height - MARGIN - (depth + 1) * ROW, width, root.sums)
    yield "</svg>"


def _tree(samples: Sequence[Sample]) -> _Node:
    root = _Node(Place("all"))
    for sample in samples:
        node = root
        node.sums += sample.sums
        for place in (*map(Place, sample.above), *sample.stack.places):
            node = node.child(place)
            node.sums += sample.sums
    return root


def _boxes(root: _Node, weight: Weight) -> Iterator[tuple[_Node, int, int]]:
    """Each node with its depth and the weight to the left of it."""
    waiting = [(root, 0, 0)]
    while waiting:
        node, depth, start = waiting.pop()
        yield node, depth, start
        for label in sorted(node.children):
            child = node.children[label]
            waiting.append((child, depth + 1, start))
            start += weight.of(child.sums)


def _box(node: _Node, x: float, y: int, width: float, whole: Sums) -> str:
    share = node.sums.time_ns / max(whole.time_ns, 1)
    said = f"{_milliseconds(node.sums)}, {share:.1%}, {node.sums.calls:,} calls"
    title = "\n".join(filter(None, (node.place.label, node.place.module, said)))
    fits = int((width - 6) / CHARACTER)
    label = node.place.label
    text = "" if fits < 3 else label if len(label) <= fits else label[: fits - 2] + ".."
    box = _BOX.format(title=escape(title), x=x, y=y, width=width, height=ROW - 1, fill=_colour(node.place))
    return box + _TEXT.format(x=x + 3, y=y + 12, text=escape(text)) if text else box + "</g>"


def _colour(place: Place) -> str:
    """A light one, on which black text can be read; grey where there is no module."""
    if place.module is None:
        return "#ddd"
    hue = zlib.crc32(place.module.encode()) % 360
    return f"hsl({hue} 65% 78%)"


def _milliseconds(sums: Sums) -> str:
    return f"{sums.time_ns / 1e6:,.2f} ms"
