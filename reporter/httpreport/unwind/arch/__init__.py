"""The processors whose stacks httpreport unwinds: one file and one `Architecture` each."""

from __future__ import annotations

from .architecture import Architecture
from .x86_64 import X86_64

ARCHITECTURES = {architecture.name: architecture for architecture in (X86_64,)}
"""By the name that Meta.arch has for them."""

__all__ = ["ARCHITECTURES", "X86_64", "Architecture"]
