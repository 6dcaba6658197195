"""Make redacted captures: `Redaction` masks what identifies a host, its users and its peers."""

from __future__ import annotations

from .capture import Redaction
from .causes import causes_in

__all__ = ["Redaction", "causes_in"]
