"""Choose which frames of a stack trace are shown: the program's own, these with the plumbing between them folded, or
all.

All outputs that show stack traces show the same ones, except JSON, which has all frames.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ..languages.stack_trace import Frame, FrameKind, StackTrace
from .plumbing import own_frames_of

_LISTED = 4  # modules of folded frames


class Frames(enum.Enum):
    """Name what --frames can choose."""

    OWN = "own"
    FOLDED = "folded"
    ALL = "all"


@dataclass(frozen=True)
class FrameChoice:
    """Say which frames are shown. `own` are the patterns of --own."""

    frames: Frames = Frames.FOLDED
    own: tuple[str, ...] = ()

    @property
    def all_frames(self) -> bool:
        """Return whether frames of interpreters are shown too."""
        return self.frames is Frames.ALL


FOLDED = FrameChoice()


def chosen(trace: StackTrace, choice: FrameChoice) -> StackTrace:
    """Return a stack trace with the frames that are to be shown. If none is the program's own, Frames.FOLDED shows all
    of them, and Frames.OWN one that stands for them."""
    own = own_frames_of(trace, choice.own)
    if choice.frames is Frames.ALL or (choice.frames is Frames.FOLDED and not own):
        return trace
    if choice.frames is Frames.OWN and own:
        return replace(trace, frames=tuple(own), plumbing=len(trace.frames) - len(own))
    return replace(trace, frames=tuple(_folded(trace.frames, set(own), least=2 if own else 1)))


def _folded(frames: Iterable[Frame], own: set[Frame], *, least: int) -> Iterator[Frame]:
    """Yield the frames, with one for each run of at least so many that are plumbing."""
    for is_own, group in groupby(frames, own.__contains__):
        run = list(group)
        yield from run if is_own or len(run) < least else [_fold(run)]


def _fold(run: Sequence[Frame]) -> Frame:
    """Return the frame that stands for a run of frames."""
    count = "1 frame" if len(run) == 1 else f"{len(run):,} frames"
    names = list(dict.fromkeys(map(_origin, run)))
    more = ", ..." if len(names) > _LISTED else ""
    return Frame(0, name=f"{count} of plumbing: {', '.join(names[:_LISTED])}{more}", kind=FrameKind.PLUMBING)


def _origin(frame: Frame) -> str:
    """Return of what a frame is: its module, or its language."""
    return f"{frame.kind.language} libraries" if frame.kind.language else os.path.basename(frame.module or "no module")
