"""Hold the version of the product, which both programs and the package share."""

from __future__ import annotations

__version__ = "0.1.0"
