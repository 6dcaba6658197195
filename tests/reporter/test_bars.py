"""Check that a bar is never longer than its share and that a share of 0 % has none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from httpreport.outputs.terminal import BAR, bar


@given(st.integers(0, 1 << 60), st.integers(0, 1 << 60))
def test_a_bar_is_as_long_as_its_share_and_nothing_rounds_up_from_0_percent(part: int, rest: int) -> None:
    length = len(bar(part, part + rest, "#"))
    assert abs(length - BAR * part / max(part + rest, 1)) <= 1
    if f"{part / max(part + rest, 1):.0%}" == "0%":
        assert length == 0
    elif 200 * part > part + rest:
        assert length > 0
