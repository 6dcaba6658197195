"""One error base: what makes a report impossible is raised once, as one line that says what to do next."""

from __future__ import annotations


class ReportError(Exception):
    """The report cannot be made. The message says what happened, to what, and what to do."""
