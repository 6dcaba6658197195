"""Define tables of handlers, one handler for each kind of record.

The loader, `--verify` and `--redact` have such a table each. If one of them has no use for a kind, its handler is
`ignore`, so that no kind is forgotten. A test compares the tables with httpcapture's `Record`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, TypeVar

State = TypeVar("State")
Handlers = Mapping[type, Callable[[State, Any], None]]
"""For each record class, the function that adds such a record to the state of its reader.

A reader of packed stacks has `PackedStacks` in place of `Stack`.
"""


def ignore(_state: object, _record: object) -> None:
    """Do nothing with a record."""
