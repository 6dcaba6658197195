"""Check that httprec --check shows what the host can do, with the same words in which a recording would be refused."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from support.commands import NO_BPF, NOBODY, run, with_namespace

ROW = re.compile(r"(.{17}) (ok |no |-  )  (.+)")
TRIED = ["fexit", "kprobe", "tracepoint", "stack copies", "frame pointers", "clock"]


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: cannot make the situations")


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str]]:
    """Return the state and the text of each row by its subject, after checking that the last line follows from them."""
    *lines, verdict = done.stdout.splitlines()
    found = {}
    for line in lines:
        match = ROW.fullmatch(line)
        assert match, line
        found[match[1].rstrip()] = match[2].rstrip(), match[3]
    works = [name for name in ("fexit", "kprobe", "tracepoint") if found[name][0] == "ok"]
    assert verdict == (f"httprec can record here, with {works[0]}" if works else "httprec cannot record here")
    assert done.returncode == (0 if works else 1), done.stderr
    return found


SITUATIONS = {
    "not root": ("root", NOBODY),
    "lockdown": (
        "lockdown",
        with_namespace(
            "mount -t tmpfs none /sys/kernel/security; echo 'none [confidentiality]' >/sys/kernel/security/lockdown"
        ),
    ),
    "no type information": ("type information", with_namespace("mount -t tmpfs none /sys/kernel/btf")),
    "container": ("pid namespace", ["unshare", "--pid", "--fork", "--mount-proc"]),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_a_recording_would_be_refused_for_is_a_row(tmp_path: Path, situation: str) -> None:
    subject, before = SITUATIONS[situation]
    refused = run(tmp_path, "-o", "run.cap", "-d", "0", before=before)
    found = rows(run(tmp_path, "--check", before=before))
    assert refused.stderr == f"httprec: {found[subject][1]}\n"
    assert found[subject][0] == "no"
    assert {found[name][0] for name in TRIED} == {"-"}


def test_capabilities_that_are_missing_are_named_and_the_probes_tried(tmp_path: Path) -> None:
    found = rows(run(tmp_path, "--check", before=NO_BPF))
    assert found["capabilities"][0] == "no"
    assert found["capabilities"][1].startswith("cap_bpf, cap_perfmon missing: ")
    assert found["BPF ring buffer"] == ("no", "the kernel cannot create one: Operation not permitted")
    assert found["fexit"][0] == "no"
    assert found["fexit"][1].startswith("not permitted; ")


def test_nothing_is_written(tmp_path: Path) -> None:
    run(tmp_path, "-o", "run.cap", "--check")
    assert not os.listdir(tmp_path)
