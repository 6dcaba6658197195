"""Say why a capture grows no more."""

from __future__ import annotations

import re

from httpcapture.shell import quoted

from ..common.printable import printable
from .state import State

ROTATED = "rotated"  # End.reason of a part that another one follows
_PART = re.compile(r"\.(\d{5})(?=(\.[^./]*)?$)")  # as httprec numbers them: run.00001.cap


def ending(state: State, path: str) -> str:
    """Return one line on what ended the recording or its reading, and what to do next; empty if it goes on."""
    if state.damage:
        return printable(state.damage)
    if state.end is None:
        return ""
    if state.end.reason != ROTATED:
        return f"the recording has ended: these are its totals; httpreport {quoted(path)} has the stacks"
    number = state.meta.part + 1
    named = _PART.search(path)
    if named is None or int(named[1]) + 1 != number:
        return f"this part has ended; part {number} follows"
    following = _PART.sub(f".{number:05}", path)
    return f"this part has ended; the next: httpreport --follow {quoted(following)}"
