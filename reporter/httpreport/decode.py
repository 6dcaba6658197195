"""httpcapture's `decode` by numpy: the same values in half the time."""

from __future__ import annotations

from itertools import accumulate
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from httpcapture import DELTA, PLANES


def decode(coding: str, data: bytes, width: int, fields: int) -> list[memoryview]:
    """The values of each of the fields that share a column, of `width` bytes each."""
    if coding not in (PLANES, DELTA):
        return [memoryview(data)]
    columns = [_from_planes(part, width) for part in _parts(data, fields)]
    if coding == DELTA:
        columns = _summed([column.reshape(-1).view(f"<u{width}") for column in columns])
    return [column.reshape(-1).view("u1").data for column in columns]


def _parts(data: bytes, count: int) -> list[bytes]:
    size = len(data) // count
    return [data[start : start + size] for start in range(0, len(data), size or 1)] or [b""] * count


def _from_planes(planes: bytes, width: int) -> npt.NDArray[np.uint8]:
    """Shape (rows, width)."""
    count = len(planes) // width
    rows, zeros = np.zeros((count, width), np.uint8), bytes(count)
    for place in range(width):
        plane = planes[place * count : (place + 1) * count]
        if plane != zeros:  # the high bytes of small numbers are
            rows[:, place] = np.frombuffer(plane, np.uint8)
    return rows


def _summed(differences: list[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Of fields whose values alternate: the sums within each row, added to the last value of the row before it."""
    within = list(accumulate(differences, add))
    last = np.cumsum(within[-1], dtype=within[-1].dtype)
    before = last - within[-1]
    return [*(before + each for each in within[:-1]), last]
