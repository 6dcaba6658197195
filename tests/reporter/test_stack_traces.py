"""Compare stack_traces.txt and stacks.folded of a capture that has one of everything with the golden files.

HTTPREC_BLESS=1 writes the golden files again: read what changed before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from httpcapture import Lost, Module, Outcome, Record, Role, StackStatus
from httpreport.elf.elf import Elf, Segment
from httpreport.elf.symbol_table import SYMBOL, SymbolTable
from httpreport.report.report import Report
from httpreport.symbols.binary import Binary
from support.recordings import MS, PATH, STARTED_NS, TEXT, Row, capture, completion, process, stack
from support.reports import folded_lines, reported, text_lines

GOLDEN = Path(__file__).parent / "golden"


def one_of_everything() -> Report:
    unanswered = Row(
        start_ns=30 * MS + 1_000,
        duration_ns=900 * MS,
        request_ns=2 * MS,
        connection=2,
        response_head=b"",
        outcome=Outcome.IN_FLIGHT,
        received=0,
        stack=257,
    )
    server = Row(
        start_ns=10 * MS,
        duration_ns=400 * MS,
        connection=3,
        comm=b"nginx",
        process=b"nginx",
        role=Role.SERVER,
        local="2001:db8::10",
        local_port=443,
        peer="2001:db8::99",
        request_head=b"\x16\x03\x01\x02\0\x01",
        response_head=b"\x16\x03\x03\0\x7a",
        stack_status=StackStatus.LOST,
    )
    hostile = Row(duration_ns=120 * MS, connection=4, comm=b"\x1b[2Jx;y\nz", process=b"[red]evil 12", role=7, outcome=9)
    pooled = Row(duration_ns=100 * MS, connection=5, comm=b"worker-3", request_head=b"PUT /x ", stack=999)
    two_threads = Row(receive_tid=12347, receive_stack=257, receive_stack_status=StackStatus.RECORDED)
    rows = [two_threads, unanswered, server, hostile, pooled]
    return reported(
        capture(
            rows,
            [
                Module(1, PATH, b"\1" * 20, 9000, b""),
                process(modules=[(TEXT, 1)]),
                stack(TEXT + 0x10, TEXT + 0x40, TEXT + 0x1000),
                stack(TEXT + 0x41, 0x1234, id=257),
                Lost(STARTED_NS, {"call_ring_full": 2, "completion_ring_full": 1}),
            ],
            [completion(rows[0], 30 * MS, 112, 400_000)],
        ),
        milliseconds=50,
        find_binary=lambda module, carried: BINARY,
    )


STRINGS = b"function_a\0_ZN4nova4sendERKSs\0"
BINARY = Binary(
    Elf(62, (Segment(0x1000, 0x1000, 0x2000, 0x2000, True),), {}),
    (SymbolTable(np.array([(0x1000, 0x1020, 0, -1), (0x1020, 0x1060, 11, -1)], SYMBOL), STRINGS, (".symtab",)),),
)


def compare(name: str, lines: list[str]) -> None:
    written = "".join(line + "\n" for line in lines)
    if os.environ.get("HTTPREC_BLESS") == "1":
        (GOLDEN / name).write_text(written)
    assert written == (GOLDEN / name).read_text()


def test_stack_traces() -> None:
    compare("stack_traces.txt", text_lines(one_of_everything(), "run.cap"))


def test_folded() -> None:
    compare("stacks.folded", folded_lines(one_of_everything()))


def test_the_block_of_the_specification_to_the_letter() -> None:
    """The Stack ID is the number of the stack trace; Record is the position of the stack in the capture."""
    data = capture([Row()], [process(), stack(1, id=7), stack(2, id=5), stack(1, id=7), stack(TEXT)])

    lines = text_lines(reported(data), "run.cap")

    start = lines.index("PID: 12345, Comm: nova-api, Stack ID: 1")
    assert lines[start + 1 : start + 6] == [
        "Duration: 250.00 ms, Size: 512 bytes",
        "Src IP: 192.168.1.10, Dst IP: 192.168.1.20, Dst Port: 80",
        "Stack trace:",
        "    lib nova.so+0x1000 (/opt/nova/lib nova.so: its file was not recorded)",
        "    [frame pointers only, recorded without stack copies]",
    ]
    assert lines[start + 7].endswith(", Record: 3")


@pytest.mark.parametrize(
    ("role", "phases"),
    [
        (Role.CLIENT, "Sent: 20.00 ms, Waited: 230.00 ms, Received: 30.00 ms, First byte: 250.00 ms, Total: 280.00 ms"),
        (Role.SERVER, "Received: 20.00 ms, Waited: 230.00 ms, Sent: 30.00 ms, First byte: 250.00 ms, Total: 280.00 ms"),
        *[
            (
                role,
                "Request: 20.00 ms, Waited: 230.00 ms, Response: 30.00 ms, First byte: 250.00 ms, "
                "Total: 280.00 ms (which side sent the request is not known)",
            )
            for role in (Role.UNKNOWN, 200)
        ],
    ],
)
def test_the_phases_of_a_call_have_a_direction_only_if_its_role_is_known(role: int, phases: str) -> None:
    row = Row(role=role, request_ns=20 * MS)

    lines = text_lines(reported(capture([row], completions=[completion(row, 30 * MS, 112, 400)])), "run.cap")

    assert lines[-1] == phases


def test_the_same_stack_of_a_thousand_calls_is_named_once() -> None:
    asked = []

    def find_binary(module: Module, carried: Elf | None) -> Binary:
        asked.append(module)
        return BINARY

    records: list[Record] = [
        Module(1, PATH, b"\1" * 20, 9000, b""),
        process(modules=[(TEXT, 1)]),
        stack(TEXT),
    ]
    report = reported(capture([Row(sequence=n) for n in range(1000)], records), find_binary=find_binary)

    assert len(asked) == 1
    assert len(report.traces) == 1
    assert text_lines(report, "run.cap").count("    function_a (/opt/nova/lib nova.so)") == 1000
