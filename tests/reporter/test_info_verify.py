"""Check that --info describes a capture, and that --verify finds what is wrong with it and where."""

from __future__ import annotations

import io
import re
import shlex
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from httpcapture import PROGRAM_HEADERS, End, Layout, Lost, Module, Reader, Record, Section
from httpreport.capture import verify
from support.command_line import run
from support.recordings import CALL_LAYOUT, MS, STARTED_NS, TEXT, Row, capture, process, stack

REAL = Path(__file__).parent / "data" / "python_http.cap"
WHOLE: list[Record] = [Module(1, b"/opt/nova", b"\1" * 20, 9, b""), process(modules=[(TEXT, 1)]), stack(TEXT)]


def found(data: bytes, tmp_path: Path) -> verify.Verdict:
    path = tmp_path / "run.cap"
    path.write_bytes(data)
    with open(path, "rb") as file:
        return verify.verify(str(path), file)


@pytest.mark.parametrize("data", [capture(records=WHOLE), capture(rows=[]), REAL.read_bytes()])
def test_a_whole_capture_is_whole(data: bytes, tmp_path: Path) -> None:
    assert found(data, tmp_path).problems == ()


def test_every_byte_that_changes_a_record_is_found(tmp_path: Path) -> None:
    data = capture(records=WHOLE)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x01
        assert found(bytes(changed), tmp_path).problems or records(bytes(changed)) == records(data), place


def records(data: bytes) -> list[Record]:
    """Read all records, to see that a flipped bit is harmless: one of the minor version, an unused one of zstd, or one
    of a seek table that is no longer recognised."""
    return list(Reader(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (capture(end=False), "END is missing: the file ends at byte"),
        (capture()[:-60], "END is missing"),
        (
            capture(end=End(STARTED_NS, "signal", True, 9, 9, 0, {})),
            "1 of 9 calls were read: the others are missing",
        ),
        (capture([Row(duration_ns=-5 * MS)]), "calls that end before they begin: 1"),
        (capture(records=[stack(TEXT), stack(TEXT + 1)]), "stack ids that two stacks share: 1 (damage)"),
        (
            capture(records=[Section(1, PROGRAM_HEADERS, 0, 9, 5, b"late")]),
            "parts that do not follow each other: 1 (damage: module 1 program headers): some frames may have no name",
        ),
        (b"hello", "not a capture"),
    ],
)
def test_each_fault_of_a_capture_is_reported(data: bytes, said: str, tmp_path: Path) -> None:
    assert any(said in problem for problem in found(data, tmp_path).problems)


def test_damage_is_reported_with_its_offset(tmp_path: Path) -> None:
    first, data = len(capture(rows=[], end=False)), bytearray(capture())
    data[first + 40] ^= 0xFF

    (problem, *_) = found(bytes(data), tmp_path).problems

    assert f"damaged at byte {first}" in problem


@pytest.mark.parametrize(("entry", "by"), [(0, 1), (1, 1), (2, -1), (5, 8), (-2, 8)])
def test_a_seek_table_with_other_frames_is_found(entry: int, by: int, tmp_path: Path) -> None:
    data = bytearray(capture())
    count = struct.unpack_from("<I", data, len(data) - 9)[0]
    place = len(data) - 9 - count * 8 + entry % (count * 2) * 4
    data[place : place + 4] = struct.pack("<I", struct.unpack_from("<I", data, place)[0] + by)

    assert any(problem.startswith("seek table: ") for problem in found(bytes(data), tmp_path).problems)


def test_what_was_lost_is_no_fault_of_the_file(tmp_path: Path) -> None:
    end = End(STARTED_NS, "no space left", False, 1, 1, 0, {"stack_ring_full": 1})

    verdict = found(capture(records=[Lost(1, {"stack_ring_full": 1})], end=end), tmp_path)

    assert verdict.problems == ()
    assert verdict.notes == (
        "stacks that calls refer to but the file lacks: 1",
        "the recorder could not finish: no space left",
        "lost while recording: 1 stack_ring_full",
    )


def test_calls_that_cannot_be_checked_are_no_damage(tmp_path: Path) -> None:
    fields = [field for field in CALL_LAYOUT.fields if field.name not in {"outcome", "cgroup"}]
    without_cgroup = [field for field in CALL_LAYOUT.fields if field.name != "cgroup"]

    for lacking, note in (
        (fields, "calls were not checked: the capture has no field 'outcome', and a report needs it: use a newer "),
        (without_cgroup, "the capture has no field 'cgroup': it is unknown for all calls"),
    ):
        verdict = found(capture([Row(stack_status=1)], call_layout=Layout(CALL_LAYOUT.size, lacking)), tmp_path)
        assert verdict.problems == ()
        assert len(verdict.notes) == 1 and verdict.notes[0].startswith(note)


def test_the_exit_status_is_1_where_one_of_several_is_not_whole(tmp_path: Path) -> None:
    for name, data in (("a.cap", capture()), ("b.cap", capture(end=False))):
        (tmp_path / name).write_bytes(data)

    result = run("--verify", tmp_path)

    assert result.exit_code == 1
    assert f"{tmp_path}/a.cap: whole: 1 calls" in result.stdout
    assert f"{tmp_path}/b.cap: damaged: " in result.stdout
    assert run("--verify", tmp_path / "a.cap").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.cap", "b.cap"]


@pytest.mark.parametrize("data", [capture(records=WHOLE), capture(end=False), REAL.read_bytes()])
@pytest.mark.parametrize("given", ["< run.cap", "< <(cat run.cap)"])
def test_standard_input_and_pipes_are_described_as_the_file_is(data: bytes, given: str, tmp_path: Path) -> None:
    """A pipe cannot be read twice, and the seek table is at the end."""
    (tmp_path / "run.cap").write_bytes(data)

    def shell(arguments: str) -> tuple[int, str, str]:
        command = f"{shlex.quote(sys.executable)} -P -m httpreport --info --verify {arguments}"
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, re.sub(r"run\.cap|/dev/fd/\d+", "standard input", done.stdout), done.stderr

    of_file = shell("run.cap")
    assert shell(f"- {given}") == of_file
    assert shell(given.replace("< ", "")) == of_file
    assert of_file[0] == (data == capture(end=False))


def test_a_seek_table_on_standard_input_is_checked_too() -> None:
    data = bytearray(capture())
    data[-30] ^= 1

    result = run("-", "--verify", data=bytes(data))

    assert result.exit_code == 1
    assert "standard input: damaged: 1 calls\n  wrong: seek table: " in result.stdout


def test_a_missing_capture_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "run.cap").write_bytes(capture())

    result = run("--verify", tmp_path / "gone.cap", tmp_path / "run.cap")

    assert result.exit_code == 1
    assert result.stderr == f"httpreport: cannot read {tmp_path}/gone.cap: No such file or directory\n"
    assert result.stdout.startswith(f"{tmp_path}/run.cap: whole: 1 calls\n")


def test_info_says_what_a_capture_is_and_holds(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    lost = {"call_ring_full": 4}
    end = End(STARTED_NS + 1500 * MS, "signal", True, 6, 2, 1, lost)
    rows = [Row(), Row(sequence=1, duration_ns=400 * MS)]
    path.write_bytes(capture(rows, WHOLE, end=end, process_filters=(b"nova*",), limits={"connections": 16384}))

    result, verbose = run("--info", path), run("--info", "-v", path)

    assert (result.exit_code, verbose.exit_code) == (0, 0)
    said, more = ([" ".join(line.split()) for line in each.stdout.splitlines()] for each in (result, verbose))
    assert said == [
        f"{path}: 2 calls, the slowest 400 ms, in 1.5 s on web-1, lost calls: 4",
        "host web-1, Linux 6.1.0-18-amd64 x86_64",
        "boot 0f1f9a38-5a3c-4d0e-8f3b-3f5f0d3b1a11",
        "recorder httprec 0.1.0, probes: fexit",
        "started 2023-11-14T22:13:20.000000+00:00",
        "ended 2023-11-14T22:13:21.500000+00:00, after 1.5 s, by signal",
        "filters calls of 100 ms or more by nova*",
        "limits connections 16,384",
        "calls 2, of them in flight at the end: 1",
        "processes nova-api (2, slowest 400 ms)",
        "roles client (2, slowest 400 ms)",
        "kinds http (2, slowest 400 ms)",
        "outcomes answered (2, slowest 400 ms)",
        "peers 192.168.1.20:80 (2, slowest 400 ms)",
        "stacks 1, of them with a copy of the stack: 0",
        "losses lost calls: 4 (the recorder could not keep up, 2023-11-14T22:13:21 UTC): slow calls may be missing. "
        "Next time raise -t or --call-ring, or give -p",
        "modules 1, of 1 process maps; -v lists them",
    ]
    assert more == [
        *said[:-1],
        "modules 1, of 1 process maps",
        f"module /opt/nova ({'01' * 20}): no symbols: binary not found here; carried: nothing",
    ]


def test_info_says_what_was_kept_of_heads_and_that_stack_copies_may_hold_secrets(tmp_path: Path) -> None:
    data = capture(heads="of HTTP/1 the first 512 bytes", limits={"stack_pages": 4})
    (tmp_path / "run.cap").write_bytes(data)
    said = [line.split(maxsplit=1) for line in run("--info", tmp_path).stdout.splitlines()]
    assert ["heads", "of HTTP/1 the first 512 bytes"] in said
    assert ["secrets", "stack copies may hold secrets of the recorded programs"] in said


@pytest.mark.parametrize(
    ("data", "summary"),
    [
        (capture(rows=[]), "0 calls, in 10 s on web-1, 0 lost"),
        (capture(end=False), "1 call, the slowest 250 ms, in an unknown time on web-1, losses not known"),
    ],
)
def test_the_first_line_of_info_is_a_summary(data: bytes, summary: str, tmp_path: Path) -> None:
    (tmp_path / "run.cap").write_bytes(data)
    assert run("--info", tmp_path).stdout.splitlines()[0] == f"{tmp_path}/run.cap: {summary}"


def test_info_of_a_real_capture_names_what_it_carries() -> None:
    said = run("--info", "-v", REAL).stdout

    python = re.search(r"module +/usr/bin/python3.11 \((\w{40})\): symbols of .*\.dynsym.*; carried: (.*)\n", said)
    assert python
    assert ".eh_frame 402,496" in python[2]


def test_a_capture_that_cannot_be_read_is_named_and_the_others_are_described(tmp_path: Path) -> None:
    (tmp_path / "a.cap").write_text("no capture")
    (tmp_path / "b.cap").write_bytes(capture())

    result = run("--info", tmp_path)

    assert result.exit_code == 1
    assert "a.cap: not a capture" in result.stderr
    assert f"{tmp_path}/b.cap" in result.stdout
