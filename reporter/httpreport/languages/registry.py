"""Lists the languages whose frames httpreport knows. `symbols/symbolizer.py` knows none itself and asks all of them."""

from __future__ import annotations

from typing import Callable

from ..capture.recording import Recording
from .greenlets import Greenlets
from .jit_map import JitMaps
from .language import Language

LANGUAGES: tuple[Callable[[Recording], Language], ...] = (JitMaps, Greenlets)
"""Makes the languages of a recording. The first that names an address counts; each finishes what the previous left."""
