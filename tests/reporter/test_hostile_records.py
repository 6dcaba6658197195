"""Check that every output is made whatever a capture's records contain, and that none has a control code."""

from __future__ import annotations

import io
import json
import re
import struct
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from httpcapture import PROGRAM_HEADERS, SECTION_HEADERS, Code, End, JitMap, Lost, Module, Section
from httpreport.capture.verify import verify
from httpreport.outputs import terminal
from httpreport.outputs.output import Style
from httpreport.outputs.page.data import page_data
from httpreport.report.headline import warning_lines
from httpreport.report.report import naming
from httpreport.symbols.binary_lookup import Binaries
from support.recordings import PROCESS_START_NS, STARTED_NS, TEXT, Row, capture, completion, process, stack
from support.redactions import redacted, traces
from support.reports import VALIDATOR, aggregated, folded_lines, json_text, no_binary, reported, text_lines

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
U64, U32 = st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 32) - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COMMS = st.binary(max_size=16)
PATHS = st.one_of(
    st.binary(max_size=40), st.sampled_from([b"/proc/self/mem", b"/dev/zero", b"/bin/\x1b[m", b"/../etc"])
)
ROWS = st.builds(
    Row,
    duration_ns=U64,
    start_ns=U64.map(lambda number: number >> 1),
    connection=st.integers(0, 3),
    sent=U64,
    received=U64,
    comm=COMMS,
    process=COMMS,
    request_head=st.binary(max_size=8),
    response_head=st.one_of(st.binary(max_size=16), st.just(b"HTTP/1.1 999 \x1b")),
    pid=U32,
    stack=st.integers(0, 3),
    role=st.integers(0, 255),
    outcome=st.integers(0, 255),
    stack_status=st.one_of(st.just(0), st.integers(0, 255)),
    receive_stack=st.integers(0, 3),
    receive_stack_status=st.one_of(st.just(0), st.integers(0, 255)),
)
ADDRESSES = st.lists(st.one_of(U64, st.integers(TEXT, TEXT + 0x100)), max_size=6)
MAPS = st.builds(
    b"%x-%x r-xp %08x 00:00 1 /%b\n".__mod__,
    st.tuples(U64, U64, U64, PATHS),
)
SECTIONS = st.builds(
    Section,
    st.integers(0, 3),
    st.sampled_from(["", PROGRAM_HEADERS, SECTION_HEADERS, ".eh_frame", ".dynsym", ".dynstr", ".gnu_debuglink", "x"]),
    U64,
    U64,
    st.one_of(st.just(0), U64),
    st.one_of(st.binary(max_size=99), st.just(Path("/proc/self/exe").resolve().read_bytes()[:4096])),
    TEXTS,
)
JIT_MAPS = st.builds(
    JitMap,
    st.just(12345),
    st.just(PROCESS_START_NS),
    st.integers(0, 3),
    st.integers(0, 1),
    st.one_of(st.binary(max_size=99), st.just(b"0 ffffffffffffffff \x1b[2Jevil\n")),
    TEXTS,
)
CODES = st.builds(
    Code,
    st.just(12345),
    st.just(PROCESS_START_NS),
    st.integers(0, 3),
    st.integers(0, 2),
    st.one_of(st.just(""), TEXTS),
    st.one_of(st.binary(max_size=20), st.just(b"\x1b[2J;evil\n")),
    st.integers(0, 5),
    st.binary(max_size=20),
    st.integers(0, 5),
    U32,
    st.binary(max_size=20),
    st.one_of(st.just(0x1000), U64),
    U32,
    U32,
)
PYTHON_FRAMES = st.lists(
    st.tuples(
        st.one_of(U64, st.integers(TEXT, TEXT + 0x40)),
        st.integers(0, 3),
        st.one_of(U64, st.integers(0x0FF0, 0x1010)),
        st.integers(0, 2),
        st.one_of(U64, st.integers(0, 0x1FF)),
    ),
    max_size=5,
)
COPIES = st.builds(
    lambda values, id, memory: replace(
        stack(TEXT, id=id),
        registers=struct.pack("<21Q", *values),
        memory_address=values[19],
        memory=memory,
    ),
    st.lists(st.one_of(U64, st.integers(TEXT, TEXT + 0x100)), min_size=21, max_size=21),
    st.integers(0, 3),
    st.one_of(st.binary(max_size=99), st.just(struct.pack("<4Q", TEXT + 8, TEXT + 9, 0x10010, 0))),
)
WALKED = st.builds(
    lambda addresses, id, end, found, maps: replace(stack(*addresses, id=id), end=end, found=found, maps=maps),
    ADDRESSES,
    st.integers(0, 3),
    st.one_of(TEXTS, st.sampled_from(["whole", "no_maps", "stack_ended", "unknown"])),
    st.one_of(st.binary(max_size=6), st.lists(st.integers(0, 4), max_size=6).map(bytes)),
    st.one_of(U32, st.integers(0, 2)),
)
WITH_PYTHON = st.builds(
    lambda one, frames, version, status: replace(
        one,
        python=b"".join(struct.pack("<5Q", *frame) for frame in frames),
        python_version=version,
        python_status=status,
    ),
    st.one_of(COPIES, WALKED),
    PYTHON_FRAMES,
    st.one_of(U32, st.integers(0x307, 0x310)),
    st.one_of(U32, st.integers(0, 6)),
)
RECORDS = st.lists(
    st.one_of(
        st.builds(Module, st.integers(0, 3), PATHS, st.binary(max_size=20), U64, st.binary(max_size=32), TEXTS),
        st.builds(
            process,
            st.one_of(st.binary(max_size=99), MAPS),
            st.lists(st.tuples(U64, st.integers(0, 3)), max_size=3),
            st.one_of(U64, st.just(STARTED_NS)),
        ),
        st.builds(lambda addresses, id, taken: stack(*addresses, id=id, taken_ns=taken), ADDRESSES, U32, U64),
        SECTIONS,
        JIT_MAPS,
        CODES,
        COPIES,
        WALKED,
        WITH_PYTHON,
        st.builds(Lost, U64, st.dictionaries(TEXTS, U64, max_size=3)),
    ),
    max_size=8,
)
ENDS = st.one_of(st.booleans(), st.builds(End, U64, TEXTS, st.booleans(), U64, U64, U64, st.just({})))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROWS, max_size=6), RECORDS, ENDS, TEXTS, st.integers(0, 1 << 40))
def test_every_output_is_made(rows: list[Row], records: list[Module], end: bool, host: str, started_ns: int) -> None:
    completions = [completion(Row(connection=row.connection), started_ns, row.sent, row.received) for row in rows]
    data = capture(rows, records, completions, end, host=host, started_realtime_ns=started_ns << 23)

    report = reported(data, find_binary=Binaries().find)

    console = Console(record=True, file=io.StringIO(), highlight=False, markup=False, width=100)
    whole = aggregated(report)
    terminal.print_warnings(console, warning_lines(whole))
    terminal.print_summary(console, whole, Style(facts=True))
    parsed = json_text(report, "run.cap")
    assert len(json.loads(parsed)["calls"]) == len(rows)
    VALIDATOR.validate(json.loads(parsed))
    page = json.dumps(page_data(whole), default=vars, ensure_ascii=False)
    for written in (*text_lines(report, "run.cap"), *folded_lines(report), parsed, page, console.export_text()):
        assert not CONTROL.search(written)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROWS, max_size=6), RECORDS, ENDS, TEXTS)
def test_whatever_is_redacted_is_a_capture_with_the_same_stack_traces(
    rows: list[Row], records: list[Module], end: bool, host: str
) -> None:
    data = capture(rows, records, end=end, host=host)

    report, of_redacted = reported(data), reported(redacted(data, no_binary))

    assert traces(of_redacted) == traces(report)
    assert naming(of_redacted) == naming(report)
    assert of_redacted.recording.cut_off is None or not end


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROWS, max_size=6), RECORDS, ENDS)
def test_a_report_and_verify_find_the_same_faults(rows: list[Row], records: list[Module], end: bool) -> None:
    """Stacks that no call names are an exception, because a report does not read them."""
    completions = [completion(Row(connection=row.connection), 0, row.sent, row.received) for row in rows]
    data = capture(rows, records, completions, end)

    report = reported(data)

    problems = set(verify("run.cap", io.BytesIO(data)).problems)
    faults = report.recording.faults
    said = {*faults.missing(), *faults.damage(), *faults.beyond_limits()}
    assert {line for line in said ^ problems if "END is missing" not in line and "two stacks" not in line} == set()
