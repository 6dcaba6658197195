"""Check that a redacted capture has the causes of the original, and that no capture can say impossible ones."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture import MAX_CALL_CAUSES, CallCauses, Role
from httpreport.calls.cause_columns import NO_CAUSE
from httpreport.calls.causes import Causes, Rule, causes, no_causes
from httpreport.calls.certainty import Certainty
from httpreport.calls.recorded_causes import ROW, RecordedCauses, records_of
from httpreport.calls.schema import CALL, Array
from httpreport.report.aggregate import Request
from httpreport.report.info import info
from support.made_programs import Program, table
from support.redactions import redacted
from support.reports import no_binary, reported
from support.staged_services import Ask, Service, Stage

NONE = (NO_CAUSE, Certainty.NOT_KNOWN, Rule.NONE)
SHOP, STOCK = Service("shop", 80), Service("stock", 81)


class Told(NamedTuple):
    """Hold a row of CALL_CAUSES."""

    connection: int
    sequence: int
    cause_connection: int
    cause_sequence: int
    certainty: int
    rule: int


def record(rows: list[Told]) -> CallCauses:
    of = np.array(rows, ROW)
    return CallCauses(*(of[name].tobytes() for name in ROW.names or ()))


def looked_up(calls: Array, records: list[CallCauses]) -> Causes:
    recorded = RecordedCauses()
    for one in records:
        recorded.add(one)
    return recorded.of(calls)


def staged() -> Stage:
    stage, at = Stage(1), 0
    for _ in range(20):
        at = stage.ask("load", Ask(SHOP, "/", (1_000_000, Ask(STOCK, "/", (2_000_000,)), 500_000)), at) + 1_000_000
    return stage


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 6))
def test_causes_that_are_written_are_found_again(seed: int, at_once: int, requests: int) -> None:
    program = Program(seed)
    program.threads(at_once, requests)
    program.event_loop(at_once, requests)
    program.background(99, 1, 2000)
    calls = table(program.rows)
    calls["connection"], calls["sequence"] = np.arange(len(calls)) % 7 << 40, np.arange(len(calls)) // 7
    found = causes(calls, np.array([row["shape"] for row in program.rows], np.intp))

    again = looked_up(calls, [*records_of(found, calls)])

    for name in ("indices", "certainty", "rules", "candidates"):
        assert getattr(again, name).tolist() == getattr(found, name).tolist()


def test_many_causes_are_in_several_records_and_none_in_one() -> None:
    calls = np.zeros(MAX_CALL_CAUSES + 1, CALL)
    of_all = no_causes(len(calls))
    of_all.indices[:] = 0

    assert [len(one.rules) for one in records_of(of_all, calls)] == [MAX_CALL_CAUSES, 1]
    assert [*records_of(no_causes(3), calls[:3])] == [CallCauses(b"", b"", b"", b"", b"", b"")]


REQUEST = {"connection": 7, "sequence": 1, "role": Role.SERVER, "pid": 1, "t0": 10, "t2": 20, "t3": 20}
CALL_OF_IT = {
    "connection": 8,
    "sequence": 1,
    "role": Role.CLIENT,
    "pid": 1,
    "t0": 15,
    "t2": 18,
    "t3": 18,
    "has_end": True,
}
TOLD = Told(8, 1, 7, 1, Certainty.SURE, Rule.STACK)
IMPOSSIBLE = {
    "a cause in another process": ([REQUEST | {"pid": 2}, CALL_OF_IT], TOLD),
    "a cause in another process of that pid": ([REQUEST | {"process_start": 1}, CALL_OF_IT], TOLD),
    "a cause that is a client call": ([REQUEST | {"role": Role.CLIENT}, CALL_OF_IT], TOLD),
    "a cause of unknown role": ([REQUEST | {"role": Role.UNKNOWN}, CALL_OF_IT], TOLD),
    "a cause of a server call": ([REQUEST, CALL_OF_IT | {"role": Role.SERVER}], TOLD),
    "a cause that began later": ([REQUEST | {"t0": 16}, CALL_OF_IT], TOLD),
    "a cause that began at the same time": ([REQUEST | {"t0": 15}, CALL_OF_IT], TOLD),
    "a cause that had ended": ([REQUEST | {"t2": 14, "t3": 14}, CALL_OF_IT], TOLD),
    "a call that is its own cause": ([CALL_OF_IT], TOLD._replace(cause_connection=8)),
    "a call that is not in the capture": ([REQUEST, CALL_OF_IT], TOLD._replace(sequence=2)),
    "a cause that is not in the capture": ([REQUEST, CALL_OF_IT], TOLD._replace(cause_connection=2**64 - 1)),
    "two calls with one key": ([REQUEST, CALL_OF_IT, CALL_OF_IT], TOLD),
    "two causes with one key": ([REQUEST, CALL_OF_IT, REQUEST], TOLD),
    "no certainty": ([REQUEST, CALL_OF_IT], TOLD._replace(certainty=0)),
    "an unknown certainty": ([REQUEST, CALL_OF_IT], TOLD._replace(certainty=3)),
    "no rule": ([REQUEST, CALL_OF_IT], TOLD._replace(rule=0)),
    "an unknown rule": ([REQUEST, CALL_OF_IT], TOLD._replace(rule=5)),
}


def calls_of(rows: Sequence[Mapping[str, int]]) -> Array:
    calls = np.zeros(len(rows), CALL)
    calls["has_end"] = True
    for place, row in enumerate(rows):
        for name, value in row.items():
            calls[name][place] = value
    return calls


def said(found: Causes) -> list[tuple[int, int, int]]:
    return [*zip(found.indices.tolist(), found.certainty.tolist(), found.rules.tolist())]


@pytest.mark.parametrize("first", [10, 14])
@pytest.mark.parametrize("last", [15, 20])
def test_a_possible_cause_is_taken_over(first: int, last: int) -> None:
    calls = calls_of([REQUEST | {"t0": first, "t2": last, "t3": last}, CALL_OF_IT])

    assert said(looked_up(calls, [record([TOLD])])) == [NONE, (0, Certainty.SURE, Rule.STACK)]


@pytest.mark.parametrize(("rows", "told"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_cause_is_none(rows: Sequence[Mapping[str, int]], told: Told) -> None:
    assert said(looked_up(calls_of(rows), [record([told])])) == [NONE] * len(rows)


def test_of_several_causes_the_last_possible_one_counts() -> None:
    calls = calls_of([REQUEST, REQUEST | {"connection": 9}, CALL_OF_IT])
    last = TOLD._replace(cause_connection=9, certainty=Certainty.PROBABLE, rule=Rule.EXCLUSION)
    impossible = TOLD._replace(cause_connection=8)

    for records in ([TOLD, last, impossible],), ([TOLD], [last, impossible]):
        found = looked_up(calls, [record(rows) for rows in records])

        assert said(found) == [NONE, NONE, (1, Certainty.PROBABLE, Rule.EXCLUSION)]


small = st.integers(0, 3)
made_calls = st.lists(
    st.fixed_dictionaries(
        {"connection": small, "sequence": small, "role": st.sampled_from(Role), "pid": small, "t0": small, "t3": small}
    ),
    max_size=16,
)
made_rows = st.lists(st.builds(Told, small, small, small, small, small, small), max_size=50)


@given(made_calls, st.lists(made_rows, max_size=3))
def test_whatever_a_capture_says_a_cause_is_a_request_that_was_open(
    made: list[dict[str, int]], records: list[list[Told]]
) -> None:
    calls = calls_of([row | {"t2": row["t3"]} for row in made])

    for client, (server, certainty, rule) in enumerate(said(looked_up(calls, [record(rows) for rows in records]))):
        if server != NO_CAUSE:
            assert (made[client]["role"], made[server]["role"]) == (Role.CLIENT, Role.SERVER)
            assert made[client]["pid"] == made[server]["pid"]
            assert made[server]["t0"] < made[client]["t0"] <= made[server]["t3"]
            assert certainty in (1, 2) and rule in (1, 2, 3, 4)
        else:
            assert (certainty, rule) == (Certainty.NOT_KNOWN, Rule.NONE)


def test_a_redacted_capture_has_the_causes_of_the_original_and_of_it_redacted_again() -> None:
    data = staged().capture()
    report, once = reported(data), redacted(data, no_binary)

    for given_away in (once, redacted(once, no_binary)):
        again = reported(given_away)
        assert again.causes.indices.tolist() == report.causes.indices.tolist()
        assert again.causes.certainty.tolist() == report.causes.certainty.tolist()
        assert again.causes.rules.tolist() == report.causes.rules.tolist()
        assert again.linked_trees.above.tolist() == report.linked_trees.above.tolist()
    assert set(report.causes.rules.tolist()) == {Rule.NONE, Rule.THREAD}


def test_in_a_capture_that_says_its_causes_no_others_are_looked_for() -> None:
    report = reported(staged().capture(record([])))

    assert set(report.causes.rules.tolist()) == {Rule.NONE}
    assert report.causes.candidates.max() == 1


def test_info_says_of_how_many_calls_the_causes_are_known() -> None:
    data = redacted(staged().capture(), no_binary)
    wanted = "causes       of 20 calls, as they were found before the capture was redacted"

    assert wanted in "\n".join(info("run.cap", io.BytesIO(data), Request(), modules=False))
