"""Judge whether what is at an address now was there when a stack was taken.

V8 frees objects and puts others in their place. A frame has only addresses, so an object proves a frame's function only
if it is as old as the frame. One that was read at the same address before the stack was taken is. So is, as far as can
be told, a function of a file: it is as old as the frame if its script is, and the ids of scripts rise with time. What
`eval` and `new Function` make comes and goes, so it has to have been read before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Hashable

from .. import tuning


class Evidence:
    """Remember what was read at which addresses, and when (ns, CLOCK_MONOTONIC)."""

    def __init__(self) -> None:
        self._read: OrderedDict[tuple[Hashable, int], tuple[int, int]] = OrderedDict()  # cookie, and since when
        self._newest: OrderedDict[Hashable, tuple[list[int], list[int]]] = OrderedDict()  # times and ids that rise

    def add(self, process: Hashable, address: int, cookie: int, script_id: int, now_ns: int) -> None:
        """Remember that a function was at an address until now, and that its script exists."""
        before = self._read.pop((process, address), None)
        since_ns = before[1] if before and before[0] == cookie else now_ns
        self._read[process, address] = cookie, since_ns
        if len(self._read) > tuning.MAX_KNOWN_FUNCTIONS:
            self._read.popitem(last=False)
        self.saw_script(process, script_id, now_ns)

    def saw_script(self, process: Hashable, script_id: int, now_ns: int) -> None:
        """Remember that a script exists."""
        times, ids = self._newest.setdefault(process, ([], []))
        self._newest.move_to_end(process)
        if not ids or script_id > ids[-1]:
            times.append(now_ns)
            ids.append(script_id)
            del times[1 : -tuning.MAX_NEWEST_SCRIPTS], ids[1 : -tuning.MAX_NEWEST_SCRIPTS]
        if len(self._newest) > tuning.MAX_KNOWN_PROCESSES:
            self._newest.popitem(last=False)

    def is_as_old(
        self, process: Hashable, address: int, cookie: int, script_id: int, taken_ns: int, *, is_file: bool
    ) -> bool:
        """Return whether the function at an address was there when a stack was taken."""
        known = self._read.get((process, address))
        if known and known[0] == cookie and known[1] <= taken_ns:
            return True
        if not is_file:
            return False
        times, ids = self._newest.get(process, ([], []))
        place = bisect_right(times, taken_ns)
        return place == 0 or script_id <= ids[place - 1]
