"""Check the command httpreport: its files, its summary, its JSON, its errors and exit codes."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from httpcapture import Lost, Module, Record
from support.command_line import run
from support.pseudo_terminal import on_terminal
from support.recordings import MS, PATH, STARTED_NS, TEXT, Row, capture, completion, process, stack


@pytest.fixture
def run_cap(tmp_path: Path) -> Path:
    path = tmp_path / "run.cap"
    path.write_bytes(capture([Row(), Row(sequence=1, duration_ns=400 * MS)], [process(), stack(TEXT)]))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_both_files_are_written_for_their_owner_and_the_next_command_is_printed(run_cap: Path, out: Path) -> None:
    result = run(run_cap, "-o", out, "-v")

    assert result.exit_code == 0, result.output
    assert sorted(os.listdir(out)) == ["stack_traces.txt", "stacks.folded"]
    assert {os.stat(out / name).st_mode & 0o777 for name in os.listdir(out)} == {0o600}
    assert (out / "stacks.folded").read_text() == "nova-api;lib nova.so+0x1000 650000\n"
    assert ": 2 calls of 100 ms or more, 0 lost\n" in result.stdout
    assert (
        "frames named: 0% of 2 own, 0 of 0 others; without a name: 2 in lib nova.so (its file was not recorded)"
        in result.stdout
    )
    assert f"next: flamegraph.pl --countname us {out}/stacks.folded > {out}/stacks.svg" in result.stdout
    assert result.stderr == ""


def test_a_debuginfod_server_that_fails_is_a_warning(out: Path, tmp_path: Path) -> None:
    """The port was free a moment ago, and no program listens on it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    run_cap = tmp_path / "run.cap"
    records: list[Record] = [Module(1, PATH, b"\1" * 20, 9000, b""), process(modules=[(TEXT, 1)]), stack(TEXT)]
    run_cap.write_bytes(capture([Row()], records))

    result = run(run_cap, "-v", "-o", out, "--debuginfod-url", url)

    assert result.exit_code == 0
    assert f"warning: debuginfod server {url} is not asked any more: " in result.stdout
    assert "binary not found here" in result.stdout
    odd = run(run_cap, "-o", out, "-f", "--debuginfod-url", f"ima:enforcing ftp://x {url}")
    assert odd.exit_code == 0
    assert "warning: debuginfod server ftp://x is not asked: it is not an http, https or file URL: " in odd.stdout
    assert f"warning: debuginfod server {url} is not asked any more: " in odd.stdout


@pytest.mark.parametrize(
    ("export", "begins"),
    [
        ("html", b"<!doctype html>"),
        ("svg", b"<svg "),
        ("speedscope", b'{"$schema"'),
        ("pprof", b"\x1f\x8b"),
        ("firefox", b'{"meta"'),
        ("csv", b"host,capture,start,pid,"),
    ],
)
def test_an_output_for_another_tool_is_written_instead_of_the_files(
    run_cap: Path, out: Path, export: str, begins: bytes
) -> None:
    out.mkdir()
    path = out / f"run.{export}"

    result = run(run_cap, f"--{export}", path)

    assert result.exit_code == 0, result.output
    assert os.listdir(out) == [path.name]
    assert path.read_bytes().lower().startswith(begins.lower())
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"wrote {path}" in result.stdout
    refused = run(run_cap, f"--{export}", path)
    assert refused.exit_code == 1
    assert f"{path} exists: use -f to replace it" in refused.stderr
    assert run(run_cap, run_cap.parent, f"--{export}", path, "-f").exit_code == 0  # twice the same is one


def test_stacks_can_weigh_as_much_as_they_have_calls(run_cap: Path, out: Path) -> None:
    result = run(run_cap, "-o", out, "--count")

    assert (out / "stacks.folded").read_text() == "nova-api;lib nova.so+0x1000 2\n"
    assert "next: flamegraph.pl --countname calls " in result.stdout


def test_files_that_exist_are_kept_unless_forced(run_cap: Path, out: Path) -> None:
    run(run_cap, "-o", out)
    (out / "stacks.folded").write_text("mine")

    refused = run(run_cap, "-o", out)

    assert refused.exit_code == 1
    assert "stack_traces.txt exists: use -f to replace it" in refused.stderr
    assert (out / "stacks.folded").read_text() == "mine"
    assert run(run_cap, "-o", out, "-f").exit_code == 0
    assert (out / "stacks.folded").read_text() != "mine"


def test_a_failure_leaves_no_file_behind(run_cap: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)

    result = run(run_cap, "-o", out)

    assert (result.exit_code, os.listdir(out)) == (1, [])
    assert "stack_traces.txt: No space left on device" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.cap"], "cannot read nothing.cap: No such file or directory"),
        (["empty"], "the folder empty holds no *.cap file"),
        (["text"], "text"),
        (["run.cap", "-o", "text"], "text is not a directory"),
        (["run.cap", "-o", "a/b"], "cannot make the directory a/b: No such file or directory"),
    ],
)
def test_what_makes_the_report_impossible_is_one_line(
    arguments: list[str], said: str, run_cap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_cap.parent)
    Path("text").write_text("this is no capture\n")
    Path("empty").mkdir()

    result = run(*arguments)

    assert result.exit_code == 1
    assert result.stderr.startswith("httpreport: ")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [[], ["-t", "-1"], ["-t", "nan"], ["-t", "inf"], ["-t", "x"], ["--no-such"], ["--peer", "x"], ["--since", ""]],
)
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str], run_cap: Path) -> None:
    capture_too = [str(run_cap)] if arguments else []
    assert run(*capture_too, *arguments).exit_code == 2


def test_strict_fails_with_3_when_something_was_lost_or_cut_off(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "run.cap"
    for data, strict, relaxed in (
        (capture(), 0, 0),
        (capture(records=[Lost(1, {"call_ring_full": 1})]), 3, 0),
        (capture(end=False), 3, 0),
        (capture()[:-30], 0, 0),  # only the seek table at the end
    ):
        path.write_bytes(data)
        assert run(path, "-o", out, "-f", "--strict").exit_code == strict
        assert run(path, "-o", out, "-f").exit_code == relaxed


def test_standard_input_is_read(run_cap: Path, out: Path) -> None:
    result = run("-", "-o", out, data=run_cap.read_bytes())

    assert result.exit_code == 0, result.output
    assert ": 2 calls of 100 ms or more, 0 lost\n" in result.stdout


def test_nothing_comes_next_where_a_picture_would_be_empty(tmp_path: Path, out: Path) -> None:
    """flamegraph.pl fails if no weight is above 0."""
    for name, rows in (("none", []), ("short", [Row(duration_ns=999)]), ("long", [Row()])):
        (tmp_path / f"{name}.cap").write_bytes(capture(rows, threshold_ns=0))

    def is_next(*arguments: str) -> bool:
        result = run(*(tmp_path / part if part.endswith(".cap") else part for part in arguments), "-o", out, "-f")
        assert result.exit_code == 0, result.output
        return "\nnext: flamegraph.pl" in result.stdout

    assert [is_next(f"{name}.cap") for name in ("none", "short", "long")] == [False, False, True]
    assert is_next("short.cap", "--count") and not is_next("none.cap", "--count")
    assert is_next("long.cap", "--baseline", "short.cap") and not is_next("short.cap", "--baseline", "long.cap")


def test_a_filter_after_the_fact(run_cap: Path, out: Path) -> None:
    assert (
        ": 1 call of 300 ms or more by nova-api, out of 2, 0 lost\n"
        in run(run_cap, "-o", out, "-t", "300", "-p", "nova-api").stdout
    )


def test_filters_of_the_command_line(run_cap: Path) -> None:
    filters = ["--pid", "12345", "--role", "client", "--peer", "192.168.1.20:80", "--kind", "http"]
    times = ["--outcome", "answered", "--since", "+0s", "--until", "2023-11-14T22:14"]

    document = json.loads(run(run_cap, "--json", *filters, *times).stdout)

    assert document["ledger"]["kept"] == 2
    said = (
        "pid 12345, peer 192.168.1.20:80, role client, kind http, outcome answered, since +0s, until 2023-11-14T22:14"
    )
    assert document["selection"]["filters"] == said


def test_cautions_come_first_on_the_terminal_and_in_the_file(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "run.cap"
    path.write_bytes(capture(records=[Lost(1, {"call_ring_full": 4})], end=False))

    result = run(path, "-o", out, "-t", "10")

    heads = [line.lower() for line in result.stdout.splitlines()[:3]]
    assert heads == [line.lower() for line in (out / "stack_traces.txt").read_text().splitlines()[:3]]
    assert [head.split(":")[0] for head in heads] == ["warning"] * 3


def test_an_empty_capture(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "run.cap"
    path.write_bytes(capture(rows=[]))

    result = run(path, "-o", out)

    assert result.exit_code == 0
    assert result.stdout.startswith("warning: the capture holds no call\n")
    assert ": 0 calls of 100 ms or more, 0 lost\n" in result.stdout


def test_json_is_one_document_and_all_of_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = capture(
        [Row(request_ns=2 * MS), Row(sequence=1, stack_status=4, duration_ns=300 * MS)],
        [
            Module(1, PATH, b"\1" * 20, 5, b""),
            process(modules=[(TEXT, 1)]),
            stack(TEXT),
            Lost(STARTED_NS, {"call_ring_full": 4, "stack_ring_full": 0}),
        ],
        [completion(Row(), 7 * MS, 1, 2)],
    )

    result = run("-", "--json", data=data)

    document = json.loads(result.stdout)
    assert os.listdir(tmp_path) == []
    assert result.stderr.startswith("warning: lost calls: 4 (the recorder could not keep up, 2023-11-14T22:13:20 UTC)")
    assert [warning["cause"] for warning in document["warnings"]] == ["lost"]
    assert document["ledger"] == {
        "recorded": 2,
        "kept": 2,
        "counted_once": {"calls": 2, "time_ns": 557 * MS, "both_ends": 0},
        "unreached_ns": None,
        "lost": {"call_ring_full": 4},
        "lost_between": {"call_ring_full": ["2023-11-14T22:13:20.000000+00:00"] * 2},
        "complete": False,
    }
    assert document["frames"] == {"total": 1, "named": 0, "unnamed": {"not_found": 1}, "guessed": 0}
    assert document["stack_traces"] == {"total": 1, "incomplete": {"as_recorded": 1}}
    assert [call["duration_ns"] for call in document["calls"]] == [300 * MS, 257 * MS]
    assert [call["first_byte_ns"] for call in document["calls"]] == [300 * MS, 250 * MS]
    split = [(call["request_ns"], call["wait_ns"], call["response_ns"]) for call in document["calls"]]
    assert split == [(0, 300 * MS, 0), (2 * MS, 248 * MS, 7 * MS)]
    first, second = (document["stacks"][call["trace"]] for call in document["calls"])
    assert (first["missing"], first["frames"]) == ("lost", [])
    assert (second["frames"][0]["module"], second["frames"][0]["file_offset"]) == (PATH.decode(), 0x1000)
    assert document["calls"][1]["destination"] == {"address": "192.168.1.20", "port": 80}


def test_no_colour_unless_wanted_and_no_escape_without_a_terminal(run_cap: Path, out: Path) -> None:
    program = [
        sys.executable,
        "-m",
        "httpreport",
        str(run_cap),
        "-f",
        "-t",
        "1",
        "-o",
        str(out),
    ]

    plain = subprocess.run(program, capture_output=True, check=True).stdout
    terminal = on_terminal(program, {"TERM": "xterm-256color"})
    colourless = on_terminal(program, {"TERM": "xterm-256color", "NO_COLOR": "1"})

    assert b"\x1b" not in plain
    assert b"\x1b[1;33mwarning: " in terminal
    assert not re.search(rb"\x1b\[[0-9;]*3[0-7]", colourless)


def test_a_locale_without_the_letters_of_a_name_is_no_obstacle(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "run.cap"
    path.write_bytes(capture([Row(process="caf\u00e9".encode())]))
    program = [sys.executable, "-m", "httpreport", str(path), "-o", str(out)]

    summary = subprocess.run(program, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})

    assert rb"caf\xe9" in summary.stdout
    assert (out / "stacks.folded").read_text(encoding="utf-8").startswith("caf\u00e9;")


def test_help_and_version() -> None:
    text = run("--help").stdout

    for option in ("-t", "-p", "-o", "-f", "--symfs", "--json", "--strict", "-V", "-h"):
        assert re.search(rf"^  .*{option}\b", text, re.MULTILINE), option
    assert re.fullmatch(r"httpreport \d+\.\d+\.\d+\n", run("-V").stdout)
