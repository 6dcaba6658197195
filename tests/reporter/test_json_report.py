"""Check JSON reports against the schema, field by field, and that the schema knows every word that they can contain."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from httpcapture import Lost, Outcome, Record, Role, StackStatus
from httpreport.calls.protocol import Kind
from httpreport.cli.main import main
from httpreport.common import tuning
from httpreport.compare import warnings
from httpreport.languages.stack_trace import Incomplete, NoStack, Unnamed
from httpreport.report.warnings import Cause
from httpreport.unwind import Found
from support.recordings import MS, TEXT, Row, capture, process, stack
from support.reports import SCHEMA, VALIDATOR

DATA = Path(__file__).parent / "data"
STACKS: list[Record] = [process(), stack(TEXT), stack(TEXT, 9, id=512)]
RECEIVED = Row(receive_tid=7, receive_stack=512, receive_stack_status=StackStatus.RECORDED)
ROWS = [Row(sequence=number, duration_ns=(200 + number) * MS, role=number % 4, outcome=number) for number in range(7)]
CAPTURES = {
    "of real programs": (DATA / "python_http.cap").read_bytes(),
    "empty": capture([]),
    "lost": capture(ROWS, [*STACKS, Lost(1, {"call_ring_full": 4})]),
    "cut off": capture(ROWS, STACKS, end=False),
    "filtered": capture(ROWS, STACKS, process_filters=[b"nova*"]),
    "with receive stacks": capture([RECEIVED, Row(sequence=1, stack_status=StackStatus.FAULT)], STACKS),
    "not all listed": capture(ROWS, STACKS),
    "unreached": capture(ROWS, STACKS),
    "a part": capture(ROWS, STACKS, run="4f", part=2),
}
ASKED = {"filtered": ["-t", "1", "-p", "x", "-p", "nova-api"], "unreached": ["-t", "300", "-p", "nova-api"]}
SHOWN: dict[str, Callable[[dict[str, Any]], object]] = {
    "of real programs": lambda report: (
        {frame["found"] for one in report["stacks"] for frame in one["frames"]} > {"cfi"}
    ),
    "empty": lambda report: causes(report) == ["nothing_kept"] and not report["calls"] + report["stacks"],
    "lost": lambda report: causes(report) == ["lost"] and report["ledger"]["lost_between"],
    "cut off": lambda report: causes(report) == ["cut_off"],
    "filtered": lambda report: causes(report) == ["threshold", "filter"],
    "unreached": lambda report: causes(report) + report["calls"] == [] and report["ledger"]["unreached_ns"] == 206 * MS,
    "with receive stacks": lambda report: [call["receive_trace"] for call in report["calls"]] == [1, None],
    "a part": lambda report: causes(report) == ["part"] and report["capture"]["part"] == 2,
    "not all listed": lambda report: causes(report) == ["not_listed"] and len(report["calls"]) < len(ROWS),
}
"""What a case is there for."""
OPTIONAL = ("http", "not_known", "routes", "answer", "below_threshold")
"""Fields of reports on captures with heads, with filters that ask for what is in heads, on one capture, or with calls
below the threshold, only."""


def causes(report: dict[str, Any]) -> list[str]:
    return [warning["cause"] for warning in report["warnings"]]


def document_of(*arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    VALIDATOR.validate(document)
    return document


@pytest.mark.parametrize("case", CAPTURES)
def test_a_report_is_as_the_schema_says(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if case == "not all listed":
        monkeypatch.setattr(tuning, "MAX_LISTED", 2)
    path = tmp_path / "run.cap"
    path.write_bytes(CAPTURES[case])

    document = document_of(str(path), *ASKED.get(case, []))

    assert (document["format"], document["version"]) == ("httpreport", 2)
    assert SHOWN[case](document)


def test_a_call_without_a_response_has_no_time_of_one(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    path.write_bytes(capture([Row(sequence=number, outcome=number) for number in range(5)], STACKS))

    calls = {call["outcome"]: call for call in document_of(str(path))["calls"]}

    ends = {outcome: (call["response_ns"], call["response_end_known"]) for outcome, call in calls.items()}
    assert ends.pop("answered") == (0, True)
    assert ends.pop("in_flight") == (None, False)
    assert ends == {"eof": (None, True), "reset": (None, True), "closed": (None, True)}


def test_a_report_of_several_captures_is_too(tmp_path: Path) -> None:
    for number, data in enumerate(CAPTURES.values()):
        (tmp_path / f"{number}.cap").write_bytes(data)
    (tmp_path / "other.cap").write_bytes(capture(ROWS, STACKS, host="web-2"))
    (tmp_path / "text.cap").write_text("no capture")

    document = document_of(str(tmp_path), "--jobs", "1")

    assert len(document["reports"]) == len(CAPTURES) + 1
    assert len({report["capture"]["host"] for report in document["reports"]}) == 3
    assert [one["file"] for one in document["unreadable"]] == [str(tmp_path / "text.cap")]


def test_a_comparison_is_too(tmp_path: Path) -> None:
    for number, data in enumerate(CAPTURES.values()):
        (tmp_path / f"{number}.cap").write_bytes(data)
    (tmp_path / "text.cap").write_text("no capture")

    for before, after in (
        ("0.cap", "2.cap"),
        ("2.cap", "0.cap"),
        ("1.cap", "3.cap"),
        ("", "4.cap"),
        ("2.cap", "2.cap"),
    ):
        document = document_of(str(tmp_path / after), "--baseline", str(tmp_path / before), "--jobs", "1")
        assert document["format"] == "httpreport comparison"
        assert [one["file"] for one in document["after"]["captures"]] == [str(tmp_path / after)]
        assert len(document["before"]["unreadable"]) == (before == "")


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a schema that names properties."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        schema = [*schema.values()]
    if isinstance(schema, list):
        for part in schema:
            yield from objects(part)


def test_the_schema_is_valid_and_describes_every_field_and_no_other() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert len(list(objects(SCHEMA))) > 10
    for part in objects(SCHEMA):
        assert part["additionalProperties"] is False
        assert part["required"] == [name for name in part["properties"] if name not in OPTIONAL]
        assert all(field["description"] for field in part["properties"].values())


def words(schema: dict[str, Any]) -> dict[str, str]:
    """Return the words that a field may contain, with the schema's description of each."""
    return {one["const"]: one["description"] for one in schema["oneOf"] if one.get("const")}


@pytest.mark.parametrize(("kind", "place"), [(Unnamed, "unnamed"), (Incomplete, "incomplete")])
def test_a_reason_is_described_as_other_outputs_word_it(kind: type[enum.Enum], place: str) -> None:
    assert words(SCHEMA["$defs"][place]) == {reason.name.lower(): reason.value for reason in kind}


def test_the_schema_knows_every_word_of_an_enumeration() -> None:
    call, warning = SCHEMA["$defs"]["call"]["properties"], SCHEMA["$defs"]["warnings"]["items"]["properties"]
    compared = SCHEMA["$defs"]["comparison"]["properties"]["warnings"]["items"]["properties"]
    missing, found = (
        SCHEMA["$defs"][one]["properties"][name] for one, name in (("stack", "missing"), ("frame", "found"))
    )
    assert words(missing) == {reason.name.lower(): reason.value for reason in NoStack}
    assert {*words(warning["cause"])} == {cause.value for cause in Cause}
    assert {*words(compared["cause"])} == {cause.value for cause in warnings.ComparisonCause}
    named = {"role": Role, "outcome": Outcome, "kind": Kind}
    for name, kind in named.items():
        assert {*words(call[name])} == {one.name.lower() for one in kind}
    assert {*words(found)} == {one.name.lower() for one in Found}
