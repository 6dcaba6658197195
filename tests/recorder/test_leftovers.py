"""Check that the only kprobes removed from the kernel's list are those that a killed recorder left."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from httprec import tracer


def ended() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_only_names_of_recorders_that_are_no_more_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, events = ended(), tmp_path / "kprobe_events"
    lines = [
        f"r4096:kprobes/r_tcp_sendmsg_bcc_{gone} tcp_sendmsg",
        f"r4096:kprobes/r_tcp_recvmsg_bcc_{os.getpid()} tcp_recvmsg",  # somebody's who goes on
        f"p:kprobes/p_tcp_close_bcc_{gone} tcp_close",  # not with maxactive: gone with its process
        f"r:kprobes/r_do_sys_open_bcc_{gone} do_sys_open",
        "r4096:mine/r_tcp_sendmsg tcp_sendmsg",
    ]
    before = "".join(line + "\n" for line in lines)
    events.write_text(before)
    monkeypatch.setattr(tracer, "KPROBE_EVENTS", (str(tmp_path / "not mounted"), str(events)))
    tracer._remove_kretprobe_names()
    written = f"-:kprobes/r_tcp_sendmsg_bcc_{gone}\n"  # over the file's beginning, since this one is no list
    assert events.read_text() == written + before[len(written) :]


def test_without_such_a_list_there_is_nothing_to_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracer, "KPROBE_EVENTS", (str(tmp_path / "not mounted"),))
    tracer._remove_kretprobe_names()
    assert not os.listdir(tmp_path)
