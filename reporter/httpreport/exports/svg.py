"""A flame graph: a box is as wide as the time that calls waited in it and in what it called, or as their number.

The process's name is below the outermost frame. A box's colour is that of its module.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..samples import Place, Sample, Weight
from .flame import Look, Tree, draw, milliseconds


@dataclass
class _Sums:
    place: Place
    time_ns: int = 0
    calls: int = 0

    def add(self, sample: Sample) -> None:
        self.time_ns += sample.time_ns
        self.calls += sample.calls


def svg(samples: Sequence[Sample], weight: Weight, title: str) -> Iterator[str]:
    """The lines, without newlines."""
    root = _tree(samples)
    whole = root.value
    subtitle = f"{milliseconds(whole.time_ns)} in {whole.calls:,} calls; a box is as wide as its {weight.value}"
    return draw(root, lambda sums: _look(sums, weight, whole.time_ns), title, subtitle)


def _tree(samples: Sequence[Sample]) -> Tree[_Sums]:
    root = Tree(_Sums(Place("all")))
    for sample in samples:
        node = root
        node.value.add(sample)
        for place in (Place(sample.process), *sample.places):
            node = node.children.setdefault(place.label, Tree(_Sums(place)))
            node.value.add(sample)
    return root


def _look(sums: _Sums, weight: Weight, whole_ns: int) -> Look:
    share = f"{milliseconds(sums.time_ns)}, {sums.time_ns / max(whole_ns, 1):.1%}, {sums.calls:,} calls"
    tooltip = "\n".join(filter(None, (sums.place.label, sums.place.module, share)))
    return Look(sums.time_ns if weight is Weight.TIME else sums.calls, sums.place.label, tooltip, _colour(sums.place))


def _colour(place: Place) -> str:
    """A light one, on which black text can be read; grey where there is no module."""
    if place.module is None:
        return "#ddd"
    hue = zlib.crc32(place.module.encode()) % 360
    return f"hsl({hue} 65% 78%)"
