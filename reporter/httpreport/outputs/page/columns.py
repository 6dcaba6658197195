"""Pack a list of whole numbers as text: each number in LEB128 (DWARF 5, 7.6: seven bits a byte, the lowest first), the
bytes in base64.

A million numbers below 128 are a million bytes, or 1.3 million characters of the page.
"""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt

BITS = 7
MORE = 0x80  # another byte follows


def packed(numbers: npt.NDArray[np.uint64]) -> str:
    """Return the numbers (u64) as text."""
    return base64.b64encode(leb128(numbers).tobytes()).decode("ascii")


def leb128(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Return the LEB128 bytes of all numbers (u64), one after the other."""
    sizes = np.ones(len(numbers), np.intp)
    for bits in range(BITS, 64, BITS):
        sizes += numbers >> np.uint64(bits) > 0
    starts = np.cumsum(sizes) - sizes
    encoded = np.empty(int(sizes.sum()), np.uint8)
    for byte in range(int(sizes.max(initial=0))):
        longer = sizes > byte
        septet = numbers[longer] >> np.uint64(byte * BITS) & np.uint64(MORE - 1)
        more = np.where(sizes[longer] > byte + 1, MORE, 0)
        encoded[starts[longer] + byte] = septet.astype(np.uint8) | more.astype(np.uint8)
    return encoded
