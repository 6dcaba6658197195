"""Check that the host is described correctly, and the sessions through which the recorder was started are found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from httpbpf.layout import CALL_ROW
from httpbpf.program import Sizes
from httprec import __version__, host
from support.commands import environment

# Takes a comm and a command, as JSON lists of bytes: becomes the one, runs the other, prints its own pid first.
NAMED = """
import ctypes, os, subprocess, sys
name, command = bytes.fromhex(sys.argv[1]), sys.argv[2:]
assert ctypes.CDLL(None).prctl(15, name, 0, 0, 0) == 0  # PR_SET_NAME
print(os.getpid(), flush=True)
sys.exit(subprocess.run(command).returncode)
"""
ANSWER = "import os; from httprec import host; print(os.getpid()); print(host.ignored_pids())"


def ignored_below(*names: bytes) -> tuple[list[int], int, list[int]]:
    """Start a chain of processes with these names, and return their pids, the pid of the last one, and which pids it
    ignores."""
    command = [sys.executable, "-c", ANSWER]
    for name in reversed(names):
        command = [sys.executable, "-c", NAMED, name.hex(), *command]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *pids, own, answer = done.stdout.splitlines()
    return [int(pid) for pid in pids], int(own), json.loads(answer)


@pytest.fixture(autouse=True)
def started_without_ssh() -> None:
    """Skip the tests below sshd, because their own ancestors count too."""
    if len(host.ignored_pids()) > 1:
        pytest.skip("the tests themselves run below sshd")


def test_only_itself_is_ignored_without_ssh() -> None:
    _, own, ignored = ignored_below(b"bash")
    assert ignored == [own]


def test_every_sshd_above_is_ignored_and_nothing_between() -> None:
    pids, own, ignored = ignored_below(b"sshd", b"sshd-session", b"bash", b"sudo")
    assert ignored == [own, pids[1], pids[0]]


def test_a_name_that_only_ends_like_sshd_is_not_ignored() -> None:
    _, own, ignored = ignored_below(b"my-sshd", b"ssh")
    assert ignored == [own]


@pytest.mark.parametrize("name", [b"a) S 1 (b", b"((", b"))", b"a b\nc", b"\xff\xfe"], ids=ascii)
def test_any_name_may_stand_between(name: bytes) -> None:
    pids, own, ignored = ignored_below(b"sshd", name)
    assert ignored == [own, pids[0]]


def test_the_capture_says_where_and_when_it_was_made() -> None:
    before = time.monotonic_ns(), time.time_ns()
    meta = host.meta(250, [b"nova", b"\xff*"], "kprobe", Sizes(connections=7))
    after = time.monotonic_ns(), time.time_ns()
    assert meta.tool == f"httprec {__version__}"
    shown = subprocess.run(["uname", "-nrm"], check=True, capture_output=True, text=True).stdout.split()
    assert [meta.host, meta.kernel, meta.arch] == shown
    assert meta.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert before[0] <= meta.started_monotonic_ns <= after[0] and before[1] <= meta.started_realtime_ns <= after[1]
    assert (meta.threshold_ns, meta.process_filters, meta.probes) == (250, (b"nova", b"\xff*"), "kprobe")
    getconf = subprocess.run(["getconf", "CLK_TCK"], check=True, capture_output=True, text=True).stdout
    assert (meta.clock_ticks, meta.page_size) == (int(getconf), os.sysconf("SC_PAGE_SIZE"))
    assert meta.limits["connections"] == 7 and set(meta.limits) == set(Sizes._fields)
    assert meta.call_layout.size == CALL_ROW.size
    assert [field.name for field in meta.call_layout.fields] == [field.name for field in CALL_ROW.fields]


def test_times_and_sizes_are_coded_and_calls_grouped_by_connection() -> None:
    """These codings are what makes captures small (docs/format-sizes.md)."""
    meta = host.meta(0, [], "kprobe", Sizes())
    calls = {field.name: field.coding for field in meta.call_layout.fields if field.coding}
    common = ["process_start", "connection", "cgroup", "process", "local_address", "peer_address", "pid"]
    assert calls == {
        **dict.fromkeys([*common, "local_port", "peer_port"], "group"),
        **dict.fromkeys(["t0", "t1", "t2", "t3", "sequence", "request_seq", "response_seq"], "delta"),
        **dict.fromkeys(["sent", "received"], "planes"),
    }
    assert [*calls][:2] == ["process_start", "connection"]  # by which groups are sorted
    completions = {field.name: field.coding for field in meta.completion_layout.fields}
    assert completions["connection"] == "group" and completions["t3"] == "delta"
