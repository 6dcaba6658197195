"""Define the hypothesis strategies that several tests draw from."""

from __future__ import annotations

from hypothesis import strategies as st

from support.recordings import Row

ROWS = st.builds(
    Row,
    duration_ns=st.integers(0, 1 << 50),
    process=st.sampled_from([b"a", b"b;c", b""]),
    stack=st.integers(0, 2),
    stack_status=st.integers(0, 2),
    peer=st.sampled_from(["10.0.0.1", "::1"]),
)
