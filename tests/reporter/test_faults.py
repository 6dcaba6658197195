"""Check that the report, --verify and --redact all report contradictions in a capture and values beyond the format's
limits, and that doubtful data gives no name and no stack."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from httpcapture import (
    PROGRAM_HEADERS,
    End,
    JitMap,
    Lost,
    MappedModule,
    Module,
    Record,
    Section,
    Stack,
    StackStatus,
    file_budget,
)
from httpreport.capture import verify
from httpreport.cli.main import main
from httpreport.elf.elf import Elf
from httpreport.languages.stack_trace import NoStack, Unnamed
from httpreport.report.report import Report
from httpreport.report.warnings import Cause, incomplete
from support.command_line import run
from support.damaged_columns import three_batches, with_damaged_pids
from support.recordings import (
    MS,
    PROCESS_START_NS,
    STARTED_NS,
    TEXT,
    Row,
    capture,
    completion,
    process,
    stack,
)
from support.redactions import redacted, traces
from support.reports import no_binary, reported

U64_MAX = (1 << 64) - 1
MODULE, OTHER = Module(1, b"/opt/nova", b"\1" * 20, 9, b""), Module(1, b"/opt/other", b"\2" * 20, 9, b"")
JIT = 0x7F4000000000
ENDED = End(STARTED_NS, "signal", True, 2, 2, 0, {})
NAMED: list[Record] = [process(modules=[(TEXT, 1)]), stack(TEXT + 8, TEXT + 40)]
FAULTS: dict[str, tuple[bytes, Cause]] = {
    "responses that end before they begin, or after 146 years: 2 (damage): their ends are not used": (
        capture([Row(response_ns=-MS), Row(response_ns=1 << 63, sequence=1)]),
        Cause.DAMAGE,
    ),
    "calls that end before they begin: 1 (damage): they are shown with 0 ms": (
        capture([Row(), Row(duration_ns=-5 * MS, sequence=1)]),
        Cause.DAMAGE,
    ),
    "calls more than 146 years after the start of the host: 2 (damage): they are shown with 0 ms": (
        capture(
            [
                Row(),
                Row(start_ns=-STARTED_NS, duration_ns=U64_MAX, sequence=1),
                Row(start_ns=1 << 62, duration_ns=-1, sequence=2),
            ]
        ),
        Cause.DAMAGE,
    ),
    "calls that share connection and sequence, and so a completion: 2 (damage): the ends of their responses may be "
    "mixed up": (
        capture([Row(), Row(start_ns=1), Row(sequence=1)], completions=[completion(Row(), MS, 1, 1)]),
        Cause.DAMAGE,
    ),
    "module ids that two modules share: 1 (damage): frames in these modules have no name": (
        capture(records=[MODULE, OTHER, *NAMED]),
        Cause.DAMAGE,
    ),
    "stack ids that two stacks share: 1 (damage): their calls have no stack trace": (
        capture(records=[process(), stack(TEXT + 8), stack(TEXT + 40)]),
        Cause.DAMAGE,
    ),
    "parts that do not follow each other: 2 (damage: module 1 program headers, JIT map of process 12345): some frames "
    "may have no name": (
        capture(
            records=[
                Section(1, PROGRAM_HEADERS, 0, 9, 5, b"late"),
                JitMap(12345, PROCESS_START_NS, 9, 0, b"1000 10 a\n"),
                JitMap(12345, PROCESS_START_NS, 9, 4, b"2000 10 b\n"),
            ]
        ),
        Cause.DAMAGE,
    ),
    "END counts 2 calls, but the file has 3 (damage): one of the two is wrong": (
        capture([Row(), Row(sequence=1), Row(sequence=2)], end=ENDED),
        Cause.DAMAGE,
    ),
    "1 of 2 calls were read: the others are missing": (capture(end=ENDED), Cause.CUT_OFF),
}
LIMITS: list[tuple[str, str, int, list[Record]]] = [  # what is left out of these records, by the limit that is set so
    (
        "parts of modules beyond the limit of N MiB of one section: 1",
        "MAX_SECTION",
        5,
        [Section(1, ".symtab", 0, 9, 0, b"01234"), Section(1, ".symtab", 0, 9, 5, b"5678")],
    ),
    (
        "parts of modules beyond the limit of N MiB of sections: 1",
        "MAX_SECTIONS",
        2 << 10,
        [Section(1, ".symtab", 0, 5, 0, b"01234"), Section(1, ".strtab", 0, 5, 0, b"56789")],
    ),
    (
        "parts of JIT maps beyond the limit of N MiB of one JIT map: 2",
        "MAX_JIT_MAP",
        5,
        [JitMap(12345, PROCESS_START_NS, 9, start, b"01234") for start in (0, 5, 10)],
    ),
    (
        "process maps beyond the limit of N MiB of processes and their maps: 1",
        "MAX_PROCESSES",
        2 << 10,
        [process(), process(taken_ns=STARTED_NS + 1)],
    ),
    (
        "modules beyond the limit of N MiB of modules: 2",
        "MAX_ALL_MODULES",
        3 << 9,
        [replace(MODULE, id=id) for id in (1, 2, 3)],
    ),
    (
        "states of the ledger beyond the limit of N causes of losses: 1",
        "MAX_CAUSES",
        2,
        [Lost(1, {"a": 0, "b": 0}), Lost(2, {"c": 0})],
    ),
]


def verdict(data: bytes) -> verify.Verdict:
    return verify.verify("run.cap", io.BytesIO(data))


def said(report: Report) -> list[tuple[Cause, str]]:
    return [(warning.cause, warning.text) for warning in report.warnings]


@pytest.mark.parametrize(("line", "data", "cause"), [(line, *given) for line, given in FAULTS.items()])
def test_a_report_and_verify_say_the_same(line: str, data: bytes, cause: Cause) -> None:
    report = reported(data, milliseconds=None)

    assert said(report) == [(cause, line)]
    assert verdict(data).problems == (line,)
    assert incomplete(report.recording)


def test_parts_are_named_once_by_their_own_module_and_process() -> None:
    """Modules with the same build ID share their sections, and process starts within one clock tick are the same
    start."""
    start = PROCESS_START_NS // 10_000_000 * 10_000_000
    records: list[Record] = [
        MODULE,
        replace(MODULE, id=2),
        Section(2, ".symtab", 0, 9, 5, b"late"),
        JitMap(12345, start, 9, 0, b"1000 10 a\n"),
        JitMap(12345, start + 1, 9, 4, b"2000 10 b\n"),
    ]
    line = "parts that do not follow each other: 2 (damage: module 2 .symtab, JIT map of process 12345): "

    report = reported(capture(records=records), milliseconds=None)

    assert [text.startswith(line) for _, text in said(report)] == [True]
    assert [text.startswith(line) for text in verdict(capture(records=records)).problems] == [True]


@pytest.mark.parametrize("line", [line for line in FAULTS if not line.startswith("calls that share")])
def test_info_reports_the_same_faults(line: str) -> None:
    """Completions are an exception, because --info does not read them. Losses are known all the same."""
    data, _ = FAULTS[line]

    said = CliRunner().invoke(main, ["--info", "-"], input=data).stdout.splitlines()

    assert [text.split(None, 1)[1] for text in said if text.startswith("  warning")] == [line]
    assert "  losses       nothing" in said


@pytest.mark.parametrize("given", LIMITS, ids=[limit for _, limit, _, _ in LIMITS])
def test_data_beyond_a_limit_is_reported_and_so_are_the_calls(
    given: tuple[str, str, int, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, limit, most, records = given
    data = capture(records=records)
    assert said(reported(data, milliseconds=None)) == []
    assert verdict(data).problems == ()
    monkeypatch.setattr(file_budget, limit, most)

    report = reported(data, milliseconds=None)

    ((cause, text),) = said(report)
    assert cause is Cause.LIMIT
    assert re.sub(r"[\d,]+ (MiB|causes)", r"N \1", text).startswith(f"{line} were not read: ")
    assert verdict(data).problems == (text,)
    assert (report.recording.recorded, len(report.recording.calls)) == (1, 1)
    assert incomplete(report.recording)


@pytest.mark.parametrize(
    "data",
    [
        capture(records=[MODULE, MODULE, *NAMED]),
        capture(records=[process(), stack(TEXT + 8), stack(TEXT + 8, taken_ns=STARTED_NS + 9)]),
        capture([Row(), Row(start_ns=1)], completions=[completion(Row(connection=2), MS, 1, 1)]),
        capture([Row(start_ns=(1 << 62) - STARTED_NS - 250 * MS)]),
        capture(records=[JitMap(12345, PROCESS_START_NS, at, 0, b"1000 10 a\n") for at in (8, 9)]),
    ],
    ids=["the same module", "the same stack, taken again", "no completion of theirs", "the last time", "two JIT maps"],
)
def test_data_without_contradictions_causes_no_warning(data: bytes) -> None:
    assert said(reported(data, milliseconds=None)) == []
    assert verdict(data).problems == ()


def never(module: Module, carried: Elf | None) -> Unnamed:
    raise AssertionError("a binary was looked for")


def test_a_frame_in_one_of_two_modules_of_one_id_has_no_name() -> None:
    report = reported(capture(records=[MODULE, OTHER, *NAMED]), find_binary=never)

    assert [frame.unnamed for frame in report.trace(0).frames] == [Unnamed.AMBIGUOUS] * 2
    again = reported(redacted(capture(records=[MODULE, OTHER, *NAMED]), never))
    assert traces(again) == traces(report)
    assert any(text.startswith("module ids that two modules share: 1") for _, text in said(again))


def test_a_frame_in_a_mapping_of_two_modules_has_no_name() -> None:
    both = replace(process(), modules=(MappedModule(TEXT, 1), MappedModule(TEXT, 2)))

    report = reported(capture(records=[MODULE, replace(OTHER, id=2), both, stack(TEXT + 8)]), find_binary=never)

    assert [frame.unnamed for frame in report.trace(0).frames] == [Unnamed.AMBIGUOUS]


@pytest.mark.parametrize("side", ["stack", "receive_stack"])
def test_a_call_of_one_of_two_stacks_of_one_id_has_none(side: str) -> None:
    sent, received = (8, 7) if side == "stack" else (7, 8)
    row = Row(stack=sent, receive_stack=received, receive_stack_status=StackStatus.RECORDED, receive_tid=9)
    others = [stack(TEXT + 8, id=8), stack(TEXT + 40, id=8)]
    data = capture([row], [process(), stack(TEXT + 8, id=7), *others])

    report = reported(data)

    places = {"stack": report.trace_of, "receive_stack": report.receive_trace_of}
    missing = {name: report.traces[place[0]].missing for name, place in places.items()}
    assert missing == {"stack": None, "receive_stack": None} | {side: NoStack.AMBIGUOUS}
    assert traces(reported(redacted(data, no_binary))) == traces(report)


@pytest.mark.parametrize(
    "other",
    [
        stack(TEXT + 8, pid=12346),
        stack(TEXT + 8, TEXT),
        replace(stack(TEXT + 8), memory=b"x"),
        replace(stack(TEXT + 8), registers=bytes(168)),
        replace(stack(TEXT + 8), process_start_ns=1),
    ],
)
def test_whatever_differs_makes_another_stack(other: Stack) -> None:
    report = reported(capture(records=[process(), stack(TEXT + 8), other]))

    assert report.trace(0).missing is NoStack.AMBIGUOUS


def test_a_line_of_a_jit_map_that_a_limit_or_the_end_of_the_file_cuts_names_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, rest = b"%x 10 whole\n%x 10 half of a na" % (JIT, JIT + 0x10), b"me\n"
    parts = ((0, first), (len(first), rest))
    texts = [JitMap(12345, PROCESS_START_NS, STARTED_NS + 9, start, data) for start, data in parts]
    maps = process(b"%x-%x rwxp 00000000 00:00 0 \n" % (JIT, JIT + 0x1000))
    both = capture(records=[maps, stack(JIT + 8, JIT + 0x18), *texts])
    cut = capture(records=[maps, stack(JIT + 8, JIT + 0x18), texts[0]], end=False)
    assert names(reported(both)) == [("whole", None), ("half of a name", None)]

    assert names(reported(cut)) == [("whole", None), (None, Unnamed.JIT_MAP_CUT_OFF)]
    monkeypatch.setattr(file_budget, "MAX_JIT_MAP", len(first))
    assert names(reported(both)) == [("whole", None), (None, Unnamed.JIT_MAP_CUT_OFF)]


def names(report: Report) -> list[tuple[str | None, Unnamed | None]]:
    return [(frame.name, frame.unnamed) for frame in report.trace(0).frames]


def test_redact_says_what_it_could_not_read(tmp_path: Path) -> None:
    """Try a column that a report of all calls needs, and one that a report of no call needs."""
    damaged, start = with_damaged_pids(three_batches(), 1)
    path, out = tmp_path / "run.cap", tmp_path / "out.cap"
    path.write_bytes(damaged)
    (warning,) = [line for line in run(path, "--json").stderr.splitlines() if "cut off" in line]
    assert f"damaged at byte {start}: column pid: zstd: " in warning

    result = run(path, "--redact", out, "--strict")

    assert warning in result.stdout.splitlines()
    assert result.exit_code == 3
    assert reported(out.read_bytes()).recording.recorded == 500
