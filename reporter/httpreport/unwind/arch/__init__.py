"""List the processors whose stacks httpreport unwinds. Each has one file with one `Architecture`."""

from __future__ import annotations

from .architecture import Architecture
from .x86_64 import X86_64

ARCHITECTURES = {architecture.name: architecture for architecture in (X86_64,)}
"""The architectures by Meta.arch."""

__all__ = ["ARCHITECTURES", "X86_64", "Architecture"]
