"""Number distinct values, so that each is in a page only once."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")


class UniqueValues(dict[Value, int]):
    """Number distinct values in the order in which they are first seen."""

    def index(self, value: Value) -> int:
        """Return the index of a value, which is new or not."""
        return self.setdefault(value, len(self))
