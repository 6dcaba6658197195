"""Whatever makes a recording impossible or ends it is a RecorderError, printed as one line by main."""

from __future__ import annotations


class RecorderError(Exception):
    """Says what happened, to what, and what to do next."""
