"""Follow a capture: read it as it grows, and show it on a terminal, or print its calls line by line."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.live import Live

from ..common.counted import counted
from ..outputs.terminal import console, print_lines
from ..report.aggregate import Request
from .endings import ending
from .growing import GrowingCapture
from .keyboard import Keyboard
from .lines import Told, heads_line, tell
from .screen import Source, head_lines, render, totals
from .state import State, advance
from .view import View, items, pressed

TURN_S = 1.0  # a recorder writes as often
QUIT = "q"


class Followed:
    """Hold a capture that is followed, and what is known of it by now."""

    def __init__(self, capture: GrowingCapture, request: Request) -> None:
        meta = capture.reader.meta
        self.capture = capture
        self.state = State.of(meta, request.selection(meta))

    def turn(self) -> None:
        """Read what was appended. Raises ReportError if the capture lacks a column."""
        self.state = advance(self.state, self.capture.take())
        if self.capture.damage:
            self.state = replace(self.state, damage=self.capture.damage)

    @property
    def ending(self) -> str:
        """Return why no more is read, or an empty text."""
        return ending(self.state, self.capture.path) or self.capture.changed()

    def source(self, *, has_keys: bool = False) -> Source:
        """Return what is shown besides the state."""
        return Source(self.capture.path, self.ending or self.capture.resting(), has_keys)


def follow(path: str, request: Request, out: Console) -> bool:
    """Show the capture at `path` until the user quits; or, without a terminal, print its calls until it ends.

    Return whether nothing was lost or damaged. Raises ReportError and CaptureError.
    """
    with GrowingCapture(path) as capture:
        followed = Followed(capture, request)
        if out.file.isatty() and not out.is_dumb_terminal:
            _show(followed, out)
        else:
            _print(followed, out)
        return followed.state.is_complete


def _show(followed: Followed, out: Console) -> None:
    """Show a screen until the user quits, and leave the totals on the terminal."""
    try:
        with Keyboard() as keyboard, Live(console=out, screen=True, auto_refresh=False) as live:
            view: View | None = View()
            while view is not None:
                followed.turn()
                source = followed.source(has_keys=keyboard.is_there)
                live.update(render(followed.state, view, source, out.height), refresh=True)
                view = _viewed(followed.state, view, keyboard.wait(0 if followed.capture.has_more else TURN_S))
    except KeyboardInterrupt:
        pass
    out.print(totals(followed.state, followed.source()))


def _viewed(state: State, view: View, keys: list[str]) -> View | None:
    """Return the view after these keys, or None if the user quits."""
    for key in keys:
        if key == QUIT and not view.is_typing:
            return None
        view = pressed(view, key, items(state, view))
    return view


def _print(followed: Followed, out: Console) -> None:
    """Print a line for each call until the capture ends, and then what was recorded on standard error."""
    told = Told()
    try:
        followed.turn()
        _write(out, [heads_line(followed.state)])
        while not followed.ending:
            if not followed.capture.has_more:
                lines, told = tell(followed.state, told)
                _write(out, lines)
                time.sleep(TURN_S)
            followed.turn()
    except KeyboardInterrupt:
        pass
    lines, told = tell(followed.state, told, is_last=True)
    _write(out, lines)
    left = followed.state.counted.kept - told.count
    more = [f"{counted(left, 'call')} more came too many at a time to be printed"] if left > 0 else []
    print_lines(console(sys.stderr), [*head_lines(followed.state, followed.source()), *more])


def _write(out: Console, lines: Sequence[str]) -> None:
    """Write lines at once, so that Ctrl-C is less likely to come between them, and now, also into a pipe."""
    out.file.write("".join(f"{line}\n" for line in lines))
    out.file.flush()
