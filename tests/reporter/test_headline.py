"""Check that the summary says of which modules the symbols are missing, and accounts for every frame without a name."""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from httpreport.languages.stack_trace import Unnamed
from httpreport.report.headline import frames
from httpreport.report.report import NamingCounts, UnnamedIn

REASONS = st.builds(UnnamedIn, st.sampled_from(Unnamed), st.sampled_from(["", "nginx", "libc.so.6", "node"]))


def without_names(counts: Counter[UnnamedIn]) -> str:
    text = frames(NamingCounts(frames=sum(counts.values()), unnamed=counts))
    return text.partition("; without a name: ")[2]


def test_the_modules_with_the_most_frames_without_a_name_come_first() -> None:
    counts = Counter(
        {
            UnnamedIn(Unnamed.ANONYMOUS, ""): 2,
            UnnamedIn(Unnamed.STRIPPED, "nginx"): 1_200,
            UnnamedIn(Unnamed.NOT_FOUND, "shop"): 3,
            UnnamedIn(Unnamed.STRIPPED, "libc.so.6"): 1,
            UnnamedIn(Unnamed.UNMAPPED, ""): 1,
        }
    )
    assert without_names(counts).startswith(
        "1,200 in nginx (no symbol in the stripped binary), 3 in shop (binary not found here), 2 (code made at run time"
    )
    assert without_names(counts).endswith("), 2 elsewhere")


@given(st.dictionaries(REASONS, st.integers(1, 10**9)))
def test_every_frame_without_a_name_is_counted_once(counts: dict[UnnamedIn, int]) -> None:
    outside = re.sub(r"\([^)]*\)", "", without_names(Counter(counts)))
    counted = re.findall(r"(?:^|, )([\d,]*\d)", outside)
    assert sum(int(number.replace(",", "")) for number in counted) == sum(counts.values())
