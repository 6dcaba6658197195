"""Check that each reader of a capture handles every kind of record that the format has."""

from __future__ import annotations

from typing import get_args

import pytest

from httpcapture import PackedStacks, Record, Stack
from httpreport.capture import loader, verify
from httpreport.capture.record_handlers import Handlers
from httpreport.redact import capture as redact

TABLES = {"loader": loader.HANDLERS, "verify": verify.HANDLERS, "redact": redact.HANDLERS}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_kind_of_record_has_a_handler(table: Handlers[object]) -> None:
    """A reader of packed stacks gets `PackedStacks` in place of `Stack`."""
    assert {Stack if kind is PackedStacks else kind for kind in table} == set(get_args(Record))
