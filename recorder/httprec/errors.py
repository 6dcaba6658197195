"""Define the error of the recorder. Anything that prevents or ends a recording raises it; main prints it as one
line."""

from __future__ import annotations


class RecorderError(Exception):
    """Report why a recording is impossible or ended: what happened, to what, and what to do next."""
