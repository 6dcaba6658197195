"""Tell a program's own frames from plumbing: libraries, interpreters, runtimes and event loops.

`plumbing.txt` beside this file lists what is plumbing. It is data: whoever misses a library adds a line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import translate
from functools import cache, lru_cache
from importlib import resources

from ..languages.stack_trace import Frame, StackTrace, Unnamed
from .samples import ShownFrame, shown_frames

KINDS = ("module", "function", "file")
INSTALLED = ("/site-packages/", "/dist-packages/", "/node_modules/")  # folders of installed packages
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


def own_frames(frames: Sequence[ShownFrame]) -> list[ShownFrame]:
    """Return the frames of the program itself, in their order. Installed packages are the program only where it
    has no frames elsewhere."""
    own = [frame for frame in frames if not is_plumbing(frame)]
    return [frame for frame in own if not any(folder in (frame.file or "") for folder in INSTALLED)] or own


def own_frames_of(trace: StackTrace) -> list[Frame]:
    """Return the frames of a stack trace that are the program's own by `own_frames`, or may be, since they run code
    that was made at run time and has no name."""
    shown = shown_frames(trace)[::-1][: len(trace.frames)]
    own = set(own_frames(shown[::-1]))
    return [frame for frame, one in zip(trace.frames, shown) if one in own or frame.unnamed in OWN_WITHOUT_NAME]


@lru_cache(maxsize=1 << 16)
def is_plumbing(frame: ShownFrame) -> bool:
    """Return whether a frame is none of the program's own. A reason for missing frames or for a name is none either."""
    if frame.label.startswith("[") and frame.module is None:
        return True
    values = (os.path.basename(frame.module or ""), frame.name, _below_packages(frame.file or ""))
    return any(pattern.fullmatch(value) for pattern, value in zip(patterns(), values))


def _below_packages(file: str) -> str:
    """Return the path from the folder of installed packages on, which may lie in that of a standard library."""
    return file[max(0, *(file.rfind(folder) for folder in INSTALLED)) :]


@cache
def patterns() -> tuple[re.Pattern[str], ...]:
    """Return a pattern of what is plumbing for each of KINDS."""
    text = (resources.files(__package__) / "plumbing.txt").read_text("utf-8")
    words = [line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return tuple(re.compile("|".join(translate(pattern) for kind, pattern in words if kind == one)) for one in KINDS)
