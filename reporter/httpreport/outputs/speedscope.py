"""Write speedscope's file format: a sampled profile for each process of each host.

Source: https://www.speedscope.app/file-format-schema.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Optional

from .. import __version__
from ..report.headline import title
from ..report.samples import Sample, ShownFrame, Weight
from .output import Reported, encoded

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
_Key = tuple[str, Optional[str], Optional[int]]  # name, file or module, and line of a frame


def report(reported: Reported) -> Iterable[bytes]:
    """Return the document in pieces."""
    whole, exporter = reported.whole, f"httpreport {__version__}"
    return encoded(speedscope(whole.samples, reported.style.weight, title(whole), exporter))


def speedscope(samples: Sequence[Sample], weight: Weight, title: str, exporter: str) -> Iterator[str]:
    """Yield the document in pieces."""
    numbers: dict[_Key, int] = {}
    by_process: dict[str, list[Sample]] = {}
    for sample in samples:
        by_process.setdefault(sample.of, []).append(sample)
    profiles = [_profile(name, of_process, weight, numbers) for name, of_process in by_process.items()]
    document = {
        "$schema": SCHEMA,
        "name": title,
        "exporter": exporter,
        "shared": {"frames": [_frame(*key) for key in numbers]},
        "profiles": profiles,
    }
    yield from json.JSONEncoder().iterencode(document)


def _profile(name: str, samples: Sequence[Sample], weight: Weight, numbers: dict[_Key, int]) -> dict[str, Any]:
    weights = [weight.of(sample.totals) for sample in samples]
    stacks = [[numbers.setdefault(_key(frame), len(numbers)) for frame in sample.stack.frames] for sample in samples]
    return {
        "type": "sampled",
        "name": name,
        "unit": "nanoseconds" if weight is Weight.TIME else "none",
        "startValue": 0,
        "endValue": sum(weights),
        "samples": stacks,
        "weights": weights,
    }


def _key(frame: ShownFrame) -> _Key:
    """Return what identifies a frame in speedscope: name, file (or else module) and line."""
    return frame.name, frame.file or frame.module, frame.line if frame.file else None


def _frame(name: str, file: str | None, line: int | None) -> dict[str, Any]:
    frame: dict[str, Any] = {"name": name}
    if file is not None:
        frame["file"] = file
    if line is not None:
        frame["line"] = line
    return frame
