"""Check the timeline by the rules of the Trace Event Format."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from support.made_trees import Made, World
from support.recordings import MS, capture
from support.reports import named, reported, written

# After "Trace Event Format" (Google, 2016): the common fields of events, and those of each phase that is used.
NUMBER, TEXT = {"type": "integer", "minimum": 0}, {"type": "string"}
COMMON = {"name": TEXT, "pid": {"type": "integer"}}
TIMED = {**COMMON, "cat": TEXT, "ts": NUMBER, "tid": {"type": "integer"}}
PHASES: dict[str, dict[str, Any]] = {
    "M": {**COMMON, "name": {"const": "process_name"}, "args": {"type": "object", "required": ["name"]}},
    "X": {**TIMED, "dur": NUMBER, "args": {"type": "object"}},
    "s": {**TIMED, "id": {"type": ["string", "integer"]}},
    "f": {**TIMED, "id": {"type": ["string", "integer"]}, "bp": {"const": "e"}},
}
EVENT = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"ph": {"const": phase}, **fields},
            "required": ["ph", *fields],
            "additionalProperties": False,
        }
        for phase, fields in PHASES.items()
    ]
}
VALIDATOR = Draft202012Validator(
    {"type": "object", "required": ["traceEvents"], "properties": {"traceEvents": {"type": "array", "items": EVENT}}}
)


def events(requests: list[Made]) -> list[dict[str, Any]]:
    made = World(1)
    for request in requests:
        made.record(request)
    document = json.loads(written(named("perfetto"), reported(capture(made.rows))))
    VALIDATOR.validate(document)
    found: list[dict[str, Any]] = document["traceEvents"]
    return found


def slices(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in found if event["ph"] == "X"]


def span(event: dict[str, Any]) -> tuple[int, int]:
    """Return start and end."""
    return event["ts"], event["ts"] + event["dur"]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.booleans(), st.integers(1, 3))
def test_the_slices_of_a_lane_are_within_each_other_or_apart(seed: int, at_once: bool, apart: int) -> None:
    made = World(seed)
    requests = [made.request(0, number * apart * 5 * MS, 3, at_once=at_once) for number in range(5)]

    lanes = defaultdict(list)
    for event in slices(events(requests)):
        lanes[event["pid"], event["tid"]].append(span(event))

    for spans in lanes.values():
        for place, (start, end) in enumerate(spans):
            for other_start, other_end in spans[:place]:
                is_apart = end <= other_start or other_end <= start
                assert is_apart or (other_start <= start and end <= other_end)


def request(at: int, *calls: Made) -> Made:
    return Made(0, at * MS, 500 * MS, list(calls))


def call(at: int, duration: int) -> Made:
    return Made(1, at * MS, duration * MS, [])


def test_calls_are_below_the_request_that_they_were_made_for_unless_they_overlap() -> None:
    apart = [1000 * number for number in range(3)]
    found = slices(events([request(at, call(at + 10, 100), call(at + 50, 100), call(at + 200, 100)) for at in apart]))
    names = {event["pid"]: event["args"]["name"] for event in events([request(0, call(10, 100))]) if event["ph"] == "M"}

    (pid,) = (pid for pid, name in names.items() if name.startswith("tier0 "))
    lanes = Counter((event["cat"], event["tid"]) for event in found if event["pid"] == pid)

    assert lanes == {("server", 1): 3, ("client", 1): 6, ("client", 2): 3}


def test_arrows_lead_from_the_client_to_the_server() -> None:
    found = events([request(at, call(at + 10, 100)) for at in (0, 1000, 2000)])
    begins, ends = ({event["id"]: event for event in found if event["ph"] == phase} for phase in "sf")

    assert len(begins) == 6
    assert begins.keys() == ends.keys()
    for arrow, begin in begins.items():
        assert begin["ts"] < ends[arrow]["ts"]
        assert begin["pid"] != ends[arrow]["pid"]
