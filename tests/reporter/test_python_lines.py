"""Compare line tables with what the interpreters that made them say of each instruction.

data/python_lines.jsonl has functions of the standard library of each version: the table, and runs of instructions of
one line as `dis` and co_lines() gave them.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpreport.languages.python_lines import line_of

DATA = Path(__file__).parent / "data" / "python_lines.jsonl"
VERSIONS = [json.loads(line) for line in DATA.read_text().splitlines()]
MINORS = [(3, minor) for minor in range(8, 15)]


@pytest.mark.parametrize("told", VERSIONS, ids=lambda told: "{}.{}".format(*told["version"]))
def test_the_line_of_every_instruction(told: dict[str, Any]) -> None:
    version = (told["version"][0], told["version"][1])
    step = 2 if version < (3, 10) else 1  # an index counts bytes, or units of two bytes
    for code in told["codes"]:
        table, number = base64.b64decode(code["table"]), 0
        for line, count in code["lines"]:
            for _ in range(count):
                assert line_of(version, table, code["first_line"], number * step) == line
                number += 1
        assert number > 1


def test_the_lines_of_this_interpreter() -> None:
    code = test_the_line_of_every_instruction.__code__
    table = getattr(code, "co_linetable", None) or code.co_lnotab
    expected = {number: line for start, end, line in code.co_lines() for number in range(start // 2, end // 2)}
    version = sys.version_info[:2]
    assert {number: line_of(version, table, code.co_firstlineno, number) for number in expected} == expected


@pytest.mark.parametrize("version", MINORS)
def test_a_frame_that_has_executed_nothing_is_at_its_first_line(version: tuple[int, int]) -> None:
    assert line_of(version, b"", 7, -1) == 7


@pytest.mark.parametrize("version", MINORS)
@given(st.binary(max_size=64), st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-1, 1 << 32))
def test_any_bytes_give_a_line_or_none(version: tuple[int, int], table: bytes, first: int, index: int) -> None:
    line = line_of(version, table, first, index)
    assert line is None or 0 <= line < 1 << 31


def test_a_line_beyond_those_of_the_interpreter_is_none() -> None:
    step = bytes([0x80 | 13 << 3, *[0x7F] * 9, 0x3E])  # no columns: a step of 2^59
    assert line_of((3, 11), step, 1, 0) is None
