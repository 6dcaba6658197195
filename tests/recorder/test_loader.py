"""Check that the process that loads the BPF program hands it over or says why it cannot, and that the recorder stays
small."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from unittest import mock

import pytest

from httpbpf.program import Sizes
from httprec import loader
from httprec.errors import RecorderError
from httprec.loader import TracingOptions, load_program

OPTIONS = TracingOptions(0, [], [], "tracepoint", Sizes())


def test_descriptors_arrive_by_name_and_stay_when_the_process_has_ended() -> None:
    texts = (b"a map", b"a program", b"an attachment")

    def load(options: TracingOptions) -> tuple[dict[str, object], list[int]]:
        fds = [os.memfd_create(text.decode()) for text in texts]
        for fd, text in zip(fds, texts):
            os.write(fd, text)
        places = {"maps": {"connections": 0}, "programs": [1], "attachments": [2]}
        return {
            "probes": options.probes,
            "faults_are_misses": True,
            "walk_problem": "why",
            "http2_problem": "because",
            "tls": {"reads": 1},
            **places,
        }, fds

    with mock.patch.object(loader, "_load", load):
        found = load_program(OPTIONS)
    assert found.tls == {"reads": found.programs[0]}
    fds = (found.maps["connections"], *found.programs, *found.attachments)
    assert [os.pread(fd, 100, 0) for fd in fds] == list(texts)
    assert not any(os.get_inheritable(fd) for fd in fds)
    assert (found.probes, found.faults_are_misses, found.walk_problem, found.http2_problem) == (
        "tracepoint",
        True,
        "why",
        "because",
    )
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (RecorderError("BCC is missing: install it"), "^BCC is missing: install it$"),
        (MemoryError("no room"), "cannot load the BPF program: MemoryError: no room"),
        (RecorderError("x" * 100_000), "^x{1000}"),
    ],
)
def test_what_is_wrong_is_said_by_the_recorder(problem: Exception, said: str) -> None:
    with mock.patch.object(loader, "_load", side_effect=problem), pytest.raises(RecorderError, match=said):
        load_program(OPTIONS)


def test_a_process_that_is_killed_is_said() -> None:
    def die(options: TracingOptions) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with mock.patch.object(loader, "_load", die), pytest.raises(RecorderError, match="was killed by signal 9"):
        load_program(OPTIONS)


def test_the_recorder_itself_never_imports_the_compiler() -> None:
    """None of its modules does, except in the process that loads the program."""
    modules = "main, recording_loop, tracer, check, self_test, parts"
    code = f"import sys; from httprec import {modules}; sys.exit('bcc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_process_ends_with_a_recorder_that_is_killed() -> None:
    """It must not attach a program that no process holds any longer."""
    ours, theirs = socket.socketpair()
    recorder = os.fork()
    if not recorder:
        ours.close()

        def wait(options: TracingOptions) -> None:
            theirs.sendall(str(os.getpid()).encode())
            signal.pause()

        with mock.patch.object(loader, "_load", wait):
            load_program(OPTIONS)
    theirs.close()
    loading = int(ours.recv(100))
    os.kill(recorder, signal.SIGKILL)
    os.waitpid(recorder, 0)
    assert ours.recv(1) == b""  # the last one that had the other end is gone
    with pytest.raises(OSError) as gone:
        os.kill(loading, 0)
        os.waitpid(loading, os.WNOHANG)
    assert gone.value.errno in (errno.ESRCH, errno.ECHILD)
