"""Replace values that identify somebody by masks. Equal values have equal masks.

Masks are numbers in the order in which the values come. So nobody can find a value by trying which one gives a mask,
and masks mean nothing outside of their capture.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from httpcapture import KERNEL_PATHS, MAX_PATH, MAX_TEXT

from ..common import tuning
from ..common.errors import ReportError
from ..common.interning import Interner, Words, words_of

MASKED_FOLDER = b"/redacted/%d/"

# Folders of devices and of a distribution's packages (Filesystem Hierarchy Standard 3.0); not /usr/local, /opt, /srv.
_PUBLIC = re.compile(rb"(/usr)?/(bin|sbin|lib(32|64|x32|exec)?)(/(?!\.\.?(/|$))[\w.+-]+)*|/dev(/shm)?", re.ASCII)
_NOT_FILES = (b"node:", b"<")  # beginnings of names of scripts that an interpreter has built in or has no file for
_PATH_IN_TEXT = re.compile(rb"(?<![\w.)\]>$-])/.*", re.ASCII | re.DOTALL)

# An address is two little-endian words; in ::ffff:a.b.c.d, `a` is the fifth byte of the second word.
_MAPPED, _LOW_HALF, _HALF = np.uint64(0xFFFF0000), np.uint64(0xFFFFFFFF), np.uint64(32)
_LOOPBACK_6 = np.uint64(1 << 56)
_LOOPBACK_4, _FIRST_BYTE = np.uint64(127), np.uint64(0xFF)
_DOCUMENTATION = np.uint64(int.from_bytes(bytes.fromhex("20010db800000000"), "little"))  # RFC 3849
_TEN = np.uint64(10 << 24)  # RFC 1918; the blocks for documentation (RFC 5737) have only 768 addresses
_MOST_OF_TEN = (1 << 24) - 2

Column = npt.NDArray[Any]


class PathMasks:
    """Mask the folders of paths."""

    def __init__(self) -> None:
        self._folders: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Return how many folders have been masked."""
        return len(self._folders)

    def masked(self, path: bytes) -> bytes:
        """Return the masked path of a file; empty if it is not the path of a file."""
        if not path.startswith(b"/"):
            return path if path in KERNEL_PATHS else b""
        return self._masked(path)[:MAX_PATH]

    def _masked(self, path: bytes) -> bytes:
        folder, _, name = path.rpartition(b"/")
        if not folder or _PUBLIC.fullmatch(folder):
            return path
        return self._mask(folder) + name

    def _mask(self, folder: bytes) -> bytes:
        return MASKED_FOLDER % self._folders.setdefault(folder, len(self._folders) + 1)

    def within(self, text: bytes) -> bytes:
        """Mask a line of text: everything from the first `/` that may begin a path to the last `/` may be folders."""
        return _PATH_IN_TEXT.sub(lambda path: self._masked(path[0]), text)

    def script(self, name: str) -> str:
        """Mask the folders in the name of a script, also of one that does not begin with `/`."""
        text = name.encode("utf-8", "replace")
        masked = self.within(text)
        if masked == text and not text.startswith((b"/", *_NOT_FILES)):
            folder, slash, file = text.rpartition(b"/")
            masked = self._mask(folder) + file if slash else text
        return masked.decode("utf-8", "replace")

    def text(self, text: str) -> str:
        """Mask the paths in a message of the recorder."""
        return self.within(text.encode())[:MAX_TEXT].decode("utf-8", "ignore")


def without_paths(strings: bytes) -> bytearray:
    """Return the NUL-terminated strings of an ELF file with `x` for each byte of a path, so that all stay in place.

    A path begins with a `/` at the start of a string or after a `:`.
    """
    masked, before, inside = bytearray(strings), 0, False  # the previous byte, and whether it was in a path
    for first in range(0, len(masked), tuning.BYTES_MASKED_AT_ONCE):
        letters = np.frombuffer(masked, np.uint8)[first : first + tuning.BYTES_MASKED_AT_ONCE]
        positions = np.arange(1, len(letters) + 1, dtype=np.int32)
        previous = np.concatenate([np.array([before], np.uint8), letters[:-1]])
        begins = (letters == ord("/")) & ((previous == 0) | (previous == ord(":")))
        last_begin = np.maximum.accumulate(np.where(begins, positions, 0 if inside else -1))
        last_end = np.maximum.accumulate(np.where(letters == 0, positions, -1))
        in_path = last_begin > last_end
        before, inside = int(letters[-1]), bool(in_path[-1])
        letters[in_path] = ord("x")
    return masked


def without_folders(strings: bytes) -> bytes:
    """Return NUL-terminated paths with `x` for each byte of a folder, so that all stay in place. Names of files and the
    folders of a distribution's packages stay."""
    return b"\0".join(map(_without_folder, strings.split(b"\0")))


def _without_folder(path: bytes) -> bytes:
    folder, slash, name = path.rpartition(b"/")
    if not path.startswith(b"/") or _PUBLIC.fullmatch(folder):
        return path
    return re.sub(rb"[^/]", b"x", folder) + slash + name


class NumberMasks:
    """Mask values of `width` words of 64 bits. A value of 0, which means that there is none, stays."""

    def __init__(self, width: int = 1) -> None:
        self._interner = Interner(width)

    def __len__(self) -> int:
        """Return how many values have been masked."""
        return len(self._interner)

    def masked(self, *words: Words) -> Words:
        """Return the masks of values: numbers from 1."""
        some = np.flatnonzero(np.bitwise_or.reduce(words))
        masks = np.zeros(len(words[0]), np.uint64)
        masks[some] = self._interner.intern(*(word[some] for word in words)).astype(np.uint64) + np.uint64(1)
        return masks


class AddressMasks:
    """Mask IP addresses of 16 bytes. A mask has the same family; loopback and unspecified addresses stay."""

    def __init__(self) -> None:
        self._ipv4, self._ipv6 = NumberMasks(), NumberMasks(2)

    def __len__(self) -> int:
        """Return how many addresses have been masked."""
        return len(self._ipv4) + len(self._ipv6)

    def masked(self, column: Column) -> Column:
        """Return the masks of a column of addresses. Raises ReportError if there are more IPv4 addresses than masks."""
        high, low = words_of(column.astype("S16", copy=False))
        mapped = (high == 0) & (low & _LOW_HALF == _MAPPED)
        ipv4 = low >> _HALF
        keep = (high == 0) & ((low == 0) | (low == _LOOPBACK_6))
        keep |= mapped & ((ipv4 == 0) | (ipv4 & _FIRST_BYTE == _LOOPBACK_4))
        of_4, of_6 = np.flatnonzero(mapped & ~keep), np.flatnonzero(~mapped & ~keep)
        masks = np.stack([high, low], 1)
        masks[of_4, 1] = _MAPPED | _in_network_order(_TEN + self._ipv4.masked(ipv4[of_4]))
        masks[of_6, 0] = _DOCUMENTATION
        masks[of_6, 1] = _in_network_order(self._ipv6.masked(high[of_6], low[of_6]))
        if len(self._ipv4) > _MOST_OF_TEN:
            raise ReportError(f"more than {_MOST_OF_TEN:,} IPv4 addresses: there are not enough masks")
        return np.ascontiguousarray(masks.astype("<u8")).view("S16").reshape(-1)


def _in_network_order(words: Words) -> Words:
    return words.astype(">u8").view("<u8")
