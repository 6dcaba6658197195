"""The languages whose frames httpreport knows. `symbols/symbolizer.py` asks all of them and knows none itself."""

from __future__ import annotations

from typing import Callable

from ..capture.recording import Recording
from .greenlets import Greenlets
from .jit_map import JitMaps
from .language import Language

LANGUAGES: tuple[Callable[[Recording], Language], ...] = (JitMaps, Greenlets)
"""Made for each recording. Of those that name an address the first counts; each finishes what the ones before left."""
