"""Give each distinct value a small number, counted from 0, so that totals by value are arrays indexed by number.

The hash table's look-ups are numpy operations on whole arrays, so a value costs nanoseconds and no object. The table is
open-addressed with linear probing and at most a quarter full. The multipliers (multiply-shift hashing, Dietzfelbinger
and others 1997) are random in each run, so that no capture can be made whose values collide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.intp]

_FIRST_BITS = 10  # the table begins with 2**10 slots
UNKNOWN = -1  # stands for the number of a value that is not known


class Interner:
    """Number the distinct values of `width` words of 64 bits each."""

    def __init__(self, width: int = 1) -> None:
        self._count = 0
        self._bits = _FIRST_BITS
        draw = np.random.default_rng()
        self._multipliers = draw.integers(0, 1 << 63, width, np.uint64) << np.uint64(1) | np.uint64(1)
        self._values = np.zeros((width, 1 << _FIRST_BITS), np.uint64)  # by number
        self._table = np.full(1 << _FIRST_BITS, UNKNOWN, np.intp)

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> Words:
        """Return the distinct values in the order of their numbers: shape (width, count)."""
        return self._values[:, : self._count]

    def intern(self, *words: Words) -> Numbers:
        """Return the number of each value, given as one array for each of its words. A new value gets a new number."""
        numbers = self.find(*words)
        new = np.flatnonzero(numbers == UNKNOWN)
        while len(new):  # more than once only if two values have one hash
            words_of_new = [word[new] for word in words]
            first = np.unique(self._hashes(words_of_new), return_index=True)[1]
            self._add(np.stack([word[np.sort(first)] for word in words_of_new]))
            numbers[new] = self.find(*words_of_new)
            new = new[numbers[new] == UNKNOWN]
        return numbers

    def find(self, *words: Words) -> Numbers:
        """Return what `intern` returns, but UNKNOWN for a value that is new."""
        slots = self._slots(words)
        numbers = self._table[slots]
        wrong = self._differ(numbers, words)
        going_on = np.flatnonzero(wrong & (numbers != UNKNOWN))
        while len(going_on):
            slots[going_on] = (slots[going_on] + 1) & (len(self._table) - 1)
            numbers[going_on] = self._table[slots[going_on]]
            differ = self._differ(numbers[going_on], [word[going_on] for word in words])
            going_on = going_on[differ & (numbers[going_on] != UNKNOWN)]
        return numbers

    def _slots(self, words: Sequence[Words]) -> Numbers:
        return np.asarray((self._hashes(words) >> np.uint64(64 - self._bits)).astype(np.intp))

    def _hashes(self, words: Sequence[Words]) -> Words:
        mixed = words[0] * self._multipliers[0]
        for word, multiplier in zip(words[1:], self._multipliers[1:]):
            mixed += word * multiplier
        mixed ^= mixed >> np.uint64(32)  # low words of a sum reach the high bits
        mixed *= self._multipliers[0]
        return np.asarray(mixed)

    def _differ(self, numbers: Numbers, words: Sequence[Words]) -> npt.NDArray[np.bool_]:
        differ = self._values[0][numbers] != words[0]
        for known, word in zip(self._values[1:], words[1:]):
            differ |= known[numbers] != word
        return np.asarray(differ | (numbers == UNKNOWN))

    def _add(self, distinct: Words) -> None:
        """Add values that are new and distinct: shape (width, count)."""
        first, self._count = self._count, self._count + distinct.shape[1]
        if self._count > self._values.shape[1]:
            grown = np.zeros((len(self._values), 2 * self._count), np.uint64)
            grown[:, :first] = self._values[:, :first]
            self._values = grown
        self._values[:, first : self._count] = distinct
        if self._count * 4 > len(self._table):
            self._bits = (self._count * 8).bit_length()
            self._table = np.full(1 << self._bits, UNKNOWN, np.intp)
            first = 0
        self._insert(np.arange(first, self._count))

    def _insert(self, numbers: Numbers) -> None:
        """Insert numbers, each into its first free slot. If several want one slot, the last gets it and the others go
        on."""
        slots = self._slots(list(self._values[:, numbers]))
        while len(numbers):
            free = self._table[slots] == UNKNOWN
            self._table[slots[free]] = numbers[free]
            going_on = self._table[slots] != numbers
            numbers, slots = numbers[going_on], (slots[going_on] + 1) & (len(self._table) - 1)


def words_of(column: npt.NDArray[Any]) -> list[Words]:
    """Return a column as words of 64 bits: bytes of whole words, or integers of any width as one word."""
    if column.dtype.kind != "S":
        return [column.astype(np.uint64, copy=False)]
    words = np.ascontiguousarray(column).view("<u8").reshape(len(column), column.dtype.itemsize // 8)
    return [np.ascontiguousarray(words[:, word]) for word in range(words.shape[1])]


def bytes_of(words: Words) -> list[bytes]:
    """Return values of two words each as bytes, without the zeros at the end."""
    column: list[bytes] = np.ascontiguousarray(words.T).astype("<u8").view("S16").reshape(-1).tolist()
    return column
