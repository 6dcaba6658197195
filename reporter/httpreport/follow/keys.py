"""Tell which keys were pressed from the bytes that a terminal sends (ECMA-48; xterm's control sequences)."""

from __future__ import annotations

import re

from .view import BACKSPACE, DOWN, ENTER, ESCAPE, UP

_TOKEN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.)|.", re.DOTALL)  # a sequence (CSI, or SS3 and a letter), else one
_NAMES = {
    **{"\x1b[A": UP, "\x1bOA": UP, "\x1b[B": DOWN, "\x1bOB": DOWN},
    **{"\r": ENTER, "\n": ENTER, "\x1b": ESCAPE, "\x7f": BACKSPACE, "\b": BACKSPACE},
}


def keys_of(data: bytes) -> list[str]:
    """Return the names of keys (view.py), and characters. What is neither is left out."""
    tokens = _TOKEN.findall(data.decode("utf-8", "ignore"))
    names = (_NAMES.get(token, token) for token in tokens)
    return [name for name in names if name in _NAMES.values() or (len(name) == 1 and name.isprintable())]
