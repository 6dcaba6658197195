"""Define the one error base. What makes a report impossible is raised once, as one line that says what to do next."""

from __future__ import annotations


class ReportError(Exception):
    """Report that the report cannot be made. The message says what happened, to what, and what to do next."""


OUT_OF_MEMORY = (
    "memory ran out: report fewer calls by a higher -t or a narrower -p, or fewer captures at a time by --jobs 1"
)
