"""Tell a program's own frames from plumbing: libraries, interpreters, runtimes and event loops.

`plumbing.txt` beside this file lists what is plumbing. It is data: whoever misses a library adds a line. What is done
with plumbing is in frame_choice.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase, translate
from functools import cache, lru_cache
from importlib import resources
from typing import NamedTuple

from ..languages.stack_trace import Frame, StackTrace, Unnamed
from .samples import ShownFrame, shown_frames

KINDS = ("module", "function", "file")
PACKAGES = "packages"
OWN_WITHOUT_NAME = {
    Unnamed.ANONYMOUS,
    Unnamed.NO_JIT_MAP_SEEN,
    Unnamed.NOT_IN_JIT_MAP,
    Unnamed.JIT_MAP_CUT_OFF,
    Unnamed.JIT_CODE_REPLACED,
    Unnamed.CODE_GONE,
    Unnamed.CODE_NOT_RECORDED,
    Unnamed.FUNCTION_MOVED,
}  # what runs there is a program's function, as far as anybody can tell


def own_frames(frames: Sequence[ShownFrame], own: Sequence[str] = ()) -> list[ShownFrame]:
    """Return the frames of the program itself, in their order: those that match a pattern of --own if there are any.
    Else installed packages are the program only where it has no frames elsewhere."""
    if own:
        return [frame for frame in frames if _matches(frame, tuple(own))]
    found = [frame for frame in frames if not is_plumbing(frame)]
    return [frame for frame in found if not any(folder in (frame.file or "") for folder in table().packages)] or found


def own_frames_of(trace: StackTrace, own: Sequence[str] = ()) -> list[Frame]:
    """Return the frames of a stack trace that are the program's own by `own_frames`, or without patterns may be, since
    they run code that was made at run time and has no name."""
    shown = shown_frames(trace)[::-1][: len(trace.frames)]
    found = set(own_frames(shown[::-1], own))
    may_be = frozenset() if own else OWN_WITHOUT_NAME
    return [frame for frame, one in zip(trace.frames, shown) if one in found or frame.unnamed in may_be]


@lru_cache(maxsize=1 << 16)
def is_plumbing(frame: ShownFrame) -> bool:
    """Return whether a frame is none of the program's own. A reason for missing frames or for a name is none either."""
    if frame.label.startswith("[") and frame.module is None:
        return True
    values = (os.path.basename(frame.module or ""), frame.name, _below_packages(frame.file or ""))
    return any(pattern.fullmatch(value) for pattern, value in zip(table().patterns, values))


@lru_cache(maxsize=1 << 16)
def _matches(frame: ShownFrame, own: tuple[str, ...]) -> bool:
    values = (frame.name, frame.file or "", frame.module or "")
    return any(fnmatchcase(value, pattern) for pattern in own for value in values)


def _below_packages(file: str) -> str:
    """Return the path from the folder of installed packages on, which may lie in that of a standard library."""
    return file[max(0, *(file.rfind(folder) for folder in table().packages)) :]


class Table(NamedTuple):
    """Hold what plumbing.txt says: a pattern for each of KINDS, and the folders of installed packages."""

    patterns: tuple[re.Pattern[str], ...]
    packages: tuple[str, ...]


@cache
def table() -> Table:
    """Return the table."""
    text = (resources.files(__package__) / "plumbing.txt").read_text("utf-8")
    words = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    of_kind = {one: [word for kind, word in words if kind == one] for one in (*KINDS, PACKAGES)}
    patterns = tuple(re.compile("|".join(map(translate, of_kind[kind]))) for kind in KINDS)
    return Table(patterns, tuple(of_kind[PACKAGES]))
