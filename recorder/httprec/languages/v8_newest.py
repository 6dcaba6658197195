"""Find the newest script of a process: V8 numbers scripts, so all others are older.

V8 has a list of scripts, to which no symbol leads. But every script begins with a pointer to the same map, so the
memory of the process is searched for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .. import tuning
from .memory import Memory
from .v8_layouts import SCRIPT_ID

_ANONYMOUS = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) rw.. 0+ 00:00 0 *$", re.MULTILINE)
_WORD, _CHUNK = 8, 1 << 20
_MAX_ID = 1 << 31


def newest_script(memory: Memory, maps: bytes, script: int) -> int:
    """Return the largest id of a script in the memory of a process, as far as it was searched; `script` is a pointer to
    one of them, around which it begins. Raises OSError if that is gone."""
    of_map = memory.read(script - 1, _WORD)
    ids = [_id_at(memory, place) for place in _places(memory, maps, of_map, script)]
    return max(ids, default=0)


def _places(memory: Memory, maps: bytes, of_map: bytes, around: int) -> Iterator[int]:
    mappings = [(int(start, 16), int(end, 16)) for start, end in _ANONYMOUS.findall(maps)]
    left = tuning.MAX_SEARCHED
    for start, end in sorted(mappings, key=lambda mapping: abs(mapping[0] - around)):
        for chunk in range(start, end, _CHUNK):
            size = min(_CHUNK, end - chunk, left)
            left -= size
            try:
                data = memory.read(chunk, size) if size else b""
            except OSError:
                break
            place = data.find(of_map)
            while place >= 0:
                if place % _WORD == 0:
                    yield chunk + place
                place = data.find(of_map, place + 1)


def _id_at(memory: Memory, place: int) -> int:
    """Return the id of a script, 0 if it has none that can be one."""
    try:
        word = memory.u64(place + SCRIPT_ID)
    except OSError:
        return 0
    return word >> 32 if not word & 0xFFFFFFFF and word >> 32 < _MAX_ID else 0
