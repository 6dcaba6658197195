"""Compare self times that are ranges: what is said of the change holds for all self times within them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Role
from httpreport.compare.self_changes import SelfChange
from httpreport.report.route_totals import Route
from httpreport.report.self_totals import Answered
from httpreport.report.tree_totals import SelfTotals

SHOP = Answered("shop", Route(Role.SERVER, "GET", "shop:80", "/"))
RANGES = st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(sorted)


@given(RANGES, RANGES, st.floats(0, 1), st.floats(0, 1))
def test_a_change_is_said_for_certain_only_if_it_is(
    before: list[int], after: list[int], share_before: float, share_after: float
) -> None:
    sides = [SelfTotals(1, 1000, *ns) for ns in (before, after)]
    change = SelfChange(SHOP, sides[0], sides[0], sides[1])
    true_before, true_after = (
        least + int(share * (most - least)) for (least, most), share in ((before, share_before), (after, share_after))
    )

    least, most = change.added_ns
    assert least <= true_after - true_before <= most
    if change.certain_ns > 0:
        assert true_after - true_before >= change.certain_ns
    if change.certain_ns < 0:
        assert true_after - true_before <= change.certain_ns
