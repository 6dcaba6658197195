"""Draw a tree as one static SVG of boxes on boxes. It has no script, so it can be mailed, printed or put into a wiki.

The root is at the bottom. Boxes are sorted by their labels, as in flamegraph.pl, and the details of a box are in its
tooltip (`<title>`), which every browser shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Callable, Generic, NamedTuple, TypeVar
from xml.sax.saxutils import escape

WIDTH, ROW, MARGIN, TOP = 1200, 17, 10, 44  # pixels
CHARACTER = 7.2  # pixels; the width of a character of the 12 px font
NARROWEST = 0.3  # pixels; a narrower box is left out
_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"
 font-family="ui-monospace, monospace" font-size="12" role="img">
<title>{title}</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="{margin}" y="20" font-size="15">{title}</text>
<text x="{margin}" y="37" fill="#555">{subtitle}</text>"""
_BOX = '<g><title>{title}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" fill="{fill}"/>'
_TEXT = '<text x="{x:.1f}" y="{y}">{text}</text></g>'

Value = TypeVar("Value")


@dataclass
class Tree(Generic[Value]):
    """Hold a node: a value, and its children by their labels."""

    value: Value
    children: dict[str, Tree[Value]] = field(default_factory=dict)


class Look(NamedTuple):
    """Say how a value is drawn. The weights of children add up to no more than the weight of their parent."""

    weight: int
    text: str
    tooltip: str
    fill: str


def draw(root: Tree[Value], look: Callable[[Value], Look], title: str, subtitle: str) -> Iterator[str]:
    """Yield the lines, without newlines."""
    boxes = list(_boxes(root, look))
    height = TOP + MARGIN + ROW * (1 + max(depth for _, depth, _ in boxes))
    yield _HEAD.format(width=WIDTH, height=height, margin=MARGIN, title=escape(title), subtitle=escape(subtitle))
    scale = (WIDTH - 2 * MARGIN) / max(boxes[0][0].weight, 1)
    for box, depth, start in boxes:
        width = box.weight * scale
        if width >= NARROWEST:
            yield _box(box, MARGIN + start * scale, height - MARGIN - (depth + 1) * ROW, width)
    yield "</svg>"


def _boxes(root: Tree[Value], look: Callable[[Value], Look]) -> Iterator[tuple[Look, int, int]]:
    """Yield each box with its depth and the weight to the left of it, the root first."""
    waiting = [(root, look(root.value), 0, 0)]
    while waiting:
        node, box, depth, start = waiting.pop()
        yield box, depth, start
        for label in sorted(node.children):
            child = node.children[label]
            looks = look(child.value)
            waiting.append((child, looks, depth + 1, start))
            start += looks.weight


def _box(box: Look, x: float, y: int, width: float) -> str:
    fits = int((width - 6) / CHARACTER)
    text = "" if fits < 3 else box.text if len(box.text) <= fits else box.text[: fits - 2] + ".."
    drawn = _BOX.format(title=escape(box.tooltip), x=x, y=y, width=width, height=ROW - 1, fill=box.fill)
    return drawn + _TEXT.format(x=x + 3, y=y + 12, text=escape(text)) if text else drawn + "</g>"
