"""Check how durations are printed. The page's JavaScript is tested with the same table of cases."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture.durations import duration_text
from support.duration_cases import CASES

SECONDS = {"ns": Decimal("1e-9"), "us": Decimal("1e-6"), "ms": Decimal("1e-3"), "s": Decimal(1)}


@pytest.mark.parametrize(("ns", "text"), CASES)
def test_durations_are_formatted_as_in_the_table_of_cases(ns: int, text: str) -> None:
    assert duration_text(ns) == text


@given(st.integers(1, 999_499_999_999))
def test_three_digits_are_those_of_decimal_arithmetic(ns: int) -> None:
    """The unit is the one that leaves one to three digits before the point."""
    number, unit = duration_text(ns).split(" ")
    exact = Decimal(ns) * Decimal("1e-9")
    digits = exact.quantize(Decimal(1).scaleb(exact.adjusted() - 2), ROUND_HALF_UP)
    assert Decimal(number) * SECONDS[unit] == (digits if ns >= 100 else exact)
    assert 1 <= Decimal(number) < 1000
    assert re.fullmatch(r"\d{1,3}(\.\d*[1-9])?", number)


@given(st.integers(1000 * 10**9, 1 << 70))
def test_long_durations_are_whole_seconds(ns: int) -> None:
    number, unit = duration_text(ns).split(" ")
    assert (unit, abs(int(number.replace(",", "")) * 10**9 - ns) <= 5 * 10**8) == ("s", True)
