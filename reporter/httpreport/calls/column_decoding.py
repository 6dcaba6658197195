"""httpcapture's `codings.decode` by numpy: the same values in half the time."""

from __future__ import annotations

from itertools import accumulate
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from httpcapture import DELTA, PLANES, CodedColumn

Values = npt.NDArray[Any]
Type = np.dtype[Any]  # of the values, which stand in the file as they are in memory


def decode(column: CodedColumn, dtype: Type) -> list[Values]:
    """The values of each of the fields that share the column."""
    if column.coding not in (PLANES, DELTA):
        return [np.frombuffer(column.data, dtype)]
    fields = len(column.fields)
    size = len(column.data) // fields
    values = [_from_planes(column.data[part * size : (part + 1) * size], dtype) for part in range(fields)]
    return values if column.coding == PLANES else _summed(values)


def _from_planes(planes: bytes, dtype: Type) -> Values:
    count = len(planes) // dtype.itemsize
    rows, zeros = np.zeros((count, dtype.itemsize), np.uint8), bytes(count)
    for place in range(dtype.itemsize):
        plane = planes[place * count : (place + 1) * count]
        if plane != zeros:  # the high bytes of small numbers are
            rows[:, place] = np.frombuffer(plane, np.uint8)
    return rows.reshape(-1).view(dtype)


def _summed(differences: list[Values]) -> list[Values]:
    """Of fields whose values alternate: the sums within each row, added to the last value of the row before it."""
    within = list(accumulate(differences, add))
    last = np.cumsum(within[-1], dtype=within[-1].dtype)
    before = last - within[-1]
    return [*(before + each for each in within[:-1]), last]
