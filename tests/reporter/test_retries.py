"""Check which calls are taken for calls that were made again after a failure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from httpcapture import Outcome, Role
from httpreport.calls.open_intervals import NONE
from httpreport.calls.retries import retries

LINES = {
    "a": b"GET /a HTTP/1.1",
    "b": b"GET /b HTTP/1.1",
    "query": b"GET /a?... HTTP/1.1",
    "hidden": b"GET /{...} HTTP/1.1",
}
HEADERS = (b"", b"\ntraceparent: 00-1", b"\ntraceparent: 00-2")  # differ in each try
TEXTS = [b"", *(line + header for line in LINES.values() for header in HEADERS)]


class Call(NamedTuple):
    line: str = "a"
    status: int = 200
    outcome: int = Outcome.ANSWERED
    cause: int = 0


FAILED, FINE = Call(status=503), Call()


@pytest.mark.parametrize(
    ("calls", "again"),
    [
        ([FAILED, FINE], [1]),
        ([FAILED, FAILED, FAILED], [1, 2]),
        ([Call(status=0, outcome=Outcome.RESET), FINE], [1]),
        ([Call(status=404), Call(status=404)], []),
        ([FINE, FINE], []),
        ([FAILED, FINE, FINE], []),
        ([FAILED, FINE, FAILED], []),
        ([FAILED, Call("b"), FINE], [2]),
        ([FAILED, Call("b")], []),
        ([FAILED, Call(cause=1)], []),
        ([Call(status=503, cause=NONE), Call(cause=NONE)], []),
        ([Call("query", 503), Call("query")], []),
        ([Call("hidden", 503), Call("hidden")], []),
        ([], []),
    ],
)
def test_the_same_call_for_the_same_request_is_made_again_after_it_failed(calls: list[Call], again: list[int]) -> None:
    causes = [Call(), Call(), *calls]  # two server calls come first
    columns = {
        "role": np.array([Role.SERVER, Role.SERVER, *(Role.CLIENT for _ in calls)]),
        "t0": np.arange(len(causes)),
        "status": np.array([call.status for call in causes]),
        "outcome": np.array([call.outcome for call in causes]),
        "request": np.array([1 + 3 * [*LINES].index(call.line) + place % 3 for place, call in enumerate(causes)]),
    }

    found = retries(columns, np.array([NONE, NONE, *(call.cause for call in calls)]), TEXTS)

    assert (np.flatnonzero(found) - 2).tolist() == again
