"""Read the memory of a process through /proc/PID/mem. All of it is untrusted: sizes and pointers may be anything."""

from __future__ import annotations

import os
import struct
from types import TracebackType

_END_OF_USER_SPACE = 1 << 47  # x86-64
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


class Memory:
    """Read the memory that a process has now; after an exec or its end, nothing can be read any more. Every method
    raises OSError if a byte is missing."""

    def __init__(self, pid: int) -> None:
        self._fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes, which the caller has bounded."""
        if not 0 < address <= _END_OF_USER_SPACE - size:
            raise OSError(0, f"{address:#x} is not an address of user space")
        data = os.pread(self._fd, size, address)
        if len(data) != size:
            raise OSError(0, f"{address:#x} is not in memory")
        return data

    def u32(self, address: int) -> int:
        """Return the number of 4 bytes at an address."""
        return int(_U32.unpack(self.read(address, _U32.size))[0])

    def u64(self, address: int) -> int:
        """Return the number of 8 bytes at an address."""
        return int(_U64.unpack(self.read(address, _U64.size))[0])


class Pages:
    """Read memory as it was when each page of it was first read: what lies together is read at once."""

    _SIZE = 4096

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._pages: dict[int, bytes] = {}

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes, which the caller has bounded. Raises OSError if one is missing."""
        page, start = divmod(address, self._SIZE)
        if start + size > self._SIZE:
            return self._memory.read(address, size)
        if page not in self._pages:
            self._pages[page] = self._memory.read(page * self._SIZE, self._SIZE)
        return self._pages[page][start : start + size]

    def u32(self, address: int) -> int:
        """Return the number of 4 bytes at an address. Raises OSError."""
        return int.from_bytes(self.read(address, 4), "little")

    def u64(self, address: int) -> int:
        """Return the number of 8 bytes at an address. Raises OSError."""
        return int.from_bytes(self.read(address, 8), "little")
