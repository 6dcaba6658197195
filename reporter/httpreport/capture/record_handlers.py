"""Whoever reads the records of a capture has a table of handlers, one for each kind of record.

The loader, `--verify` and `--redact` have one each. A kind that a reader has no use for is in its table too, with
`ignore`, so that none is forgotten. A test compares the tables with httpcapture's `Record`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, TypeVar

State = TypeVar("State")
Handlers = Mapping[type, Callable[[State, Any], None]]
"""The handler of each record class: it adds a record to the reader's state. A reader of packed stacks has `Stacks` in
place of `Stack`."""


def ignore(_state: object, _record: object) -> None:
    """Do nothing with a record."""
