"""Check that the lines printed during a recording equal what the reporter writes about the same calls afterwards."""

from __future__ import annotations

import io
import re
import struct
from ipaddress import IPv6Address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Union

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from httpbpf.layout import CALL_ROW
from httpbpf.program import Sizes
from httpcapture import End, Outcome, Role, Stack, StackStatus, Writer
from httprec.call_text import CallText
from httprec.host import meta
from httpreport.cli.main import main as httpreport
from support.synthetic import row_of

Values = dict[str, Union[int, bytes]]


def address(text: str) -> bytes:
    return IPv6Address(text if ":" in text else f"::ffff:{text}").packed


def call(**values: int | bytes) -> Values:
    usual: Values = {
        "connection": 1,
        "sequence": 1,
        "pid": 12345,
        "tid": 12345,
        "comm": b"nova-api",
        "process": b"nova-api",
        "t0": 10**12,
        "t1": 10**12 + 10**6,
        "t2": 10**12 + 250 * 10**6,
        "sent": 200,
        "received": 312,
        "local_address": address("192.168.1.10"),
        "peer_address": address("192.168.1.20"),
        "local_port": 40000,
        "peer_port": 80,
        "role": Role.CLIENT,
        "stack_status": StackStatus.NOT_TAKEN,
        "receive_stack_status": StackStatus.NOT_TAKEN,
    }
    merged = {**usual, **values}
    return {"t3": merged["t2"], **merged}


def capture(rows: list[bytes], stacks: list[int]) -> bytes:
    stream = io.BytesIO()
    writer = Writer(stream, meta(0, [], "kprobe", Sizes()))
    frames = struct.pack("<Q", 0x1000)
    for stack in stacks:
        writer.stack(Stack(id=stack, pid=12345, process_start_ns=0, taken_ns=1, frames=frames))
    writer.calls(b"".join(rows))
    writer.end(End(1, "SIGINT", True, len(rows), len(rows), 0, {}))
    return stream.getvalue()


def reported(rows: list[bytes], stacks: list[int]) -> list[str]:
    """Return the first three lines of each call in stack_traces.txt, with the recorder's number for the stack."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "run.cap")
        path.write_bytes(capture(rows, stacks))
        result = CliRunner().invoke(httpreport, [str(path), "-t", "0", "-o", folder])
        assert result.exit_code == 0, result.output
        text = Path(folder, "stack_traces.txt").read_text()
    block = r"^(PID: .*, Stack ID: )\d+(\n.*\n.*\n)Stack trace:\n(?:.+\n)*Process: .*, Record: (\d+)$"
    calls = re.findall(block, text, re.MULTILINE)
    return [f"{before}{record}{after}" for before, after, record in calls]


def printed(rows: list[bytes], stacks: list[int]) -> list[str]:
    live = CallText()
    for stack in stacks:
        live.number_stack(stack)
    return [live.read(row).text for row in rows]


def test_a_call_is_three_lines() -> None:
    assert printed([row_of(CALL_ROW, **call(stack=77))], [5, 77]) == [
        "PID: 12345, Comm: nova-api, Stack ID: 2\n"
        "Duration: 250.00 ms, Size: 512 bytes\n"
        "Src IP: 192.168.1.10, Dst IP: 192.168.1.20, Dst Port: 80\n"
    ]


def test_a_duration_is_that_of_the_whole_call_unless_its_end_cannot_be_told() -> None:
    values = call(t3=10**12 + 600 * 10**6)
    texts = printed([row_of(CALL_ROW, **values, judged_by=judged_by) for judged_by in (0, 1)], [])
    assert [re.findall(r"Duration: (\S+) ms", text) for text in texts] == [["600.00"], ["250.00"]]


def test_only_the_newest_stacks_have_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("httprec.tuning.MAX_NUMBERED_STACKS", 2)
    texts = printed([row_of(CALL_ROW, **call(stack=stack)) for stack in (5, 77, 9)], [5, 77, 5, 9])
    assert [re.findall(r"Stack ID: (\d+)", text) for text in texts] == [["0"], ["2"], ["3"]]


def test_a_server_is_the_destination_of_its_calls() -> None:
    (text,) = printed([row_of(CALL_ROW, **call(role=Role.SERVER, local_port=8774))], [])
    assert "Src IP: 192.168.1.20, Dst IP: 192.168.1.10, Dst Port: 8774\n" in text


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"role": Role.SERVER},
        {"role": Role.UNKNOWN, "outcome": Outcome.IN_FLIGHT},
        {"local_address": address("2001:db8::1"), "peer_address": address("::1")},
        {"local_address": address("fe80::"), "peer_address": bytes(16)},
        {"local_address": address("10.0.0.0"), "peer_address": address("0.0.0.0")},
        {"comm": b"fifteen bytes..", "pid": 4194303, "peer_port": 65535},
        {"comm": "größer".encode()},
        {"comm": b"old\0rest"},
        {"comm": b""},
        {"sent": 1 << 40, "received": 1},
        {"t0": 10**12, "t2": 10**12},
        {"stack": 9, "stack_status": StackStatus.RECORDED},
        {"stack": 1 << 63 | 1, "stack_status": StackStatus.RECORDED},
    ],
)
def test_the_reporter_writes_the_same_lines(values: dict[str, int | bytes]) -> None:
    rows, stacks = [row_of(CALL_ROW, **call(**values))], [8, 9, 1 << 63 | 1]
    assert printed(rows, stacks) == reported(rows, stacks)


@pytest.mark.parametrize("comm", [b"\x1b[31mred", b"a\nb", b"\xff\xfe", "a\u202eb".encode(), b"\xe2\x80"], ids=ascii)
def test_the_reporter_writes_the_same_lines_of_a_hostile_name(comm: bytes) -> None:
    rows = [row_of(CALL_ROW, **call(comm=comm))]
    assert printed(rows, []) == reported(rows, [])


@settings(max_examples=200)
@given(st.binary(max_size=15))
def test_no_name_reaches_the_terminal_with_a_control_character(comm: bytes) -> None:
    (text,) = printed([row_of(CALL_ROW, **call(comm=comm))], [])
    assert text.count("\n") == 3
    assert all(line.isprintable() for line in text.splitlines())


CALLS = st.builds(
    lambda duration, role, v6, v4, sizes, stack: call(
        role=role,
        t0=10**12,
        t2=10**12 + duration,
        sent=sizes[0],
        received=sizes[1],
        local_address=v6.packed,
        peer_address=address(str(v4)),
        stack=stack,
        stack_status=StackStatus.RECORDED if stack else StackStatus.NOT_TAKEN,
    ),
    st.integers(0, 10**11),
    st.sampled_from(list(Role)),
    st.ip_addresses(v=6),
    st.ip_addresses(v=4),
    st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)),
    st.integers(0, 5),
)


@settings(max_examples=15)
@given(st.lists(CALLS, min_size=1, max_size=20))
def test_the_reporter_writes_the_same_lines_of_every_call(calls: list[Values]) -> None:
    rows = [row_of(CALL_ROW, **{**values, "connection": number}) for number, values in enumerate(calls, 1)]
    stacks = [3, 1, 5, 2, 4]
    assert sorted(printed(rows, stacks)) == sorted(reported(rows, stacks))
