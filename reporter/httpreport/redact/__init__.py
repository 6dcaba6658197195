"""Making a capture that can be given away: `Redaction` (capture) writes records and calls in which masks stand for what
tells whose they are.
"""

from __future__ import annotations

from .capture import Redaction

__all__ = ["Redaction"]
