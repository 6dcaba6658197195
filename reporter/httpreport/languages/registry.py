"""List the languages whose frames httpreport knows. `symbols/symbolizer.py` asks each of them and names no language."""

from __future__ import annotations

from typing import Callable

from ..capture.recording import Recording
from .greenlets import Greenlets
from .javascript import JavaScriptPrograms
from .jit_map import JitMaps
from .language import Language
from .php import PhpPrograms
from .python import PythonPrograms

LANGUAGES: tuple[Callable[[Recording], Language], ...] = (
    JitMaps,
    Greenlets,
    PythonPrograms,
    PhpPrograms,
    JavaScriptPrograms,
)
"""What makes the languages of a recording. The first that names an address wins; each changes the stack trace in
turn."""
