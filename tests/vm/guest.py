"""Run a job in a guest: it goes in as a folder and comes back as a folder and an exit status, or `run` raises.

The guest has three disks, the namespaces of one NVMe controller: the root file system, whose changes are
thrown away, a tar of the job, and room for a tar of what comes back. Its console is QEMU's standard output.
What it does with them is in `init-root`.

How long a healthy guest takes depends on what else this machine does, so a guest is given up when it falls silent:
every few seconds it writes a heartbeat to its console.
"""

from __future__ import annotations

import codecs
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vm.image import Image, image

QEMU = "qemu-system-x86_64"
SUITE = "trixie"  # whose BCC compiles the BPF program in half the time of bookworm's
# cx16: QEMU 7.2 corrupts flags around cmpxchg16b, by which most boots of Linux 6.12 failed; QEMU 10 does not.
# la57 and avx make no difference that could be measured; they are off in the set that was seen to boot always.
CPU = "max,-la57,-avx,-avx2,-cx16"
# tcg: where hardware virtualisation is offered it may hang, and results should not depend on it.
ORDINARY = ["-accel", "tcg", "-cpu", CPU]
# One processor, whose instructions take a nanosecond each by all of the guest's clocks. More do not boot like this.
# Without erms memory is copied eight bytes at a time: each step of a repeated instruction counts as one.
COUNTING = ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on", "-cpu", f"{CPU},-erms", "-smp", "1"]
MACHINE = ["-nodefaults", "-no-reboot", "-net", "none", "-display", "none"]
KERNEL_OPTIONS = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=unstable cryptomgr.notests"
RESULT_BYTES = 256 << 20
LAST_LINES = 40
HEARTBEAT = "\0"  # as init-root writes it: no text has it, so that it can be taken out of the middle of a line
SILENCE_S = 240  # the longest healthy silence is the kernel's boot: 3 s, of a counting guest 20 s, on an idle machine
MOST_S = 1800  # for a job that goes on for ever while its guest lives; pytest's own limit is longer (pyproject.toml)


class GuestError(Exception):
    """Report that the job was not run to its end, why, and the console's last lines."""


@dataclass(frozen=True)
class Result:
    """Hold how a job ended, what the guest's console showed, and how many heartbeats came."""

    exit_code: int
    console: str
    heartbeats: int


def run(
    job_dir: Path,
    out_dir: Path,
    *,
    suite: str = SUITE,
    kernel: str | None = None,
    memory_mib: int = 1536,
    cpus: int = 2,
    counting: bool = False,
    silence_s: float = SILENCE_S,
    timeout_s: float = MOST_S,
    verbose: bool = False,
) -> Result:
    """Run run.sh of a copy of `job_dir` as root in a guest; put what it left in /tmp/out into `out_dir`.

    `suite` is where the guest's packages are from, `kernel` the suite of its kernel (default: the same).
    `counting`: one processor, on which a nanosecond is an instruction, so that what is measured does not depend on
    what else this machine does; it is five times slower. The guest is killed when it has been silent for `silence_s`,
    or has run for `timeout_s`. `verbose` copies the console to standard error. All of the guest's /tmp, where the job
    and /tmp/out are, is memory.

    Raises GuestError when the guest is killed or breaks down, or /tmp/out exceeds RESULT_BYTES; ImageError or AptError
    when there is no guest to run it in.
    """
    if not shutil.which(QEMU):
        raise GuestError(f"no {QEMU} here: install the package qemu-system-x86")
    booted = image(suite, kernel or suite)
    with tempfile.TemporaryDirectory(prefix="httprec-guest-") as folder:
        job, result = Path(folder, "job.tar"), Path(folder, "result.tar")
        packed = _tar("-C", job_dir, "--mode=a+rX", "-cf", job, ".")  # a job may have users who are not root
        if packed.returncode != 0:
            raise GuestError(f"the job cannot be packed: {packed.stderr.strip()}")
        with result.open("wb") as file:
            file.truncate(RESULT_BYTES)
        processors = COUNTING if counting else [*ORDINARY, "-smp", str(cpus)]
        command = [*_qemu(booted, job, result), *processors, "-m", str(memory_mib)]
        heard = listen(command, silence_s=silence_s, timeout_s=timeout_s, verbose=verbose)
        console = heard.replace(HEARTBEAT, "")
        return Result(_unpack(result, out_dir, console), console, heard.count(HEARTBEAT))


def _qemu(booted: Image, job: Path, result: Path) -> list[str]:
    command = [QEMU, *MACHINE, "-serial", "stdio", "-kernel", str(booted.kernel), "-append", KERNEL_OPTIONS]
    command += ["-initrd", str(booted.initramfs), "-device", "nvme,id=nvme,serial=guest"]
    disks = [(booted.root, "snapshot=on"), (job, "readonly=on"), (result, "cache=unsafe")]
    for number, (path, option) in enumerate(disks, start=1):
        file = str(path).replace(",", ",,")  # as QEMU wants a comma in a value
        command += ["-drive", f"if=none,id=disk{number},format=raw,file={file},{option}"]
        command += ["-device", f"nvme-ns,bus=nvme,drive=disk{number},nsid={number}"]
    return command


def listen(command: Sequence[str], *, silence_s: float, timeout_s: float, verbose: bool = False) -> str:
    """Run a command to its end and return what it wrote, with its heartbeats.

    Raises GuestError, with the last lines, when the command fails, when it has written nothing for `silence_s`, or when
    it has run for `timeout_s`. It is killed then.
    """
    # When the harness is killed, timeout(1) is told, and tells the guest.
    bounded = ["setpriv", "--pdeathsig", "TERM", "timeout", "--signal=KILL", str(timeout_s), *command]
    heard: list[str] = []
    started = time.monotonic()
    silent, piped, joined = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(bounded, stdin=silent, stdout=piped, stderr=joined, start_new_session=True) as qemu:
        assert qemu.stdout is not None
        try:
            if not _listen_to(qemu.stdout, silence_s, verbose, heard):
                raise GuestError(f"the guest was killed: it had been silent for {silence_s:g} s{_end(heard)}")
            status = qemu.wait()
        finally:
            if qemu.poll() is None:
                os.killpg(qemu.pid, signal.SIGKILL)  # timeout(1) and QEMU
    if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        times = f"{time.monotonic() - started:.1f} s (limit: {timeout_s:g} s)"
        raise GuestError(f"the guest was killed after {times}{_end(heard)}")
    if status != 0:
        raise GuestError(f"QEMU failed with exit status {status}{_end(heard)}")
    return "".join(heard)


def _listen_to(output: IO[bytes], silence_s: float, verbose: bool, heard: list[str]) -> bool:
    """Add what arrives to `heard`. Return True at its end, and False if nothing has arrived for `silence_s`."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while select.select([output], [], [], silence_s)[0]:
        data = os.read(output.fileno(), 1 << 16)
        text = decoder.decode(data.replace(b"\r", b""), final=not data)
        heard.append(text)
        if verbose:
            print(text.replace(HEARTBEAT, ""), end="", file=sys.stderr, flush=True)
        if not data:
            return True
    return False


def _unpack(result: Path, out_dir: Path, console: str) -> int:
    """Return the job's exit status, after unpacking its files into `out_dir`."""
    status = _tar("--occurrence=1", "-xOf", result, "job-status")  # the first of its files
    if status.returncode != 0:
        panic = re.search("Kernel panic.*", console)
        reason = panic[0] if panic else "the guest ended"
        raise GuestError(f"{reason}, before the job did{_end([console])}")
    out_dir.mkdir(parents=True, exist_ok=True)
    unpacked = _tar("-C", out_dir, "--strip-components=1", "--no-same-owner", "-xf", result, "out")
    if unpacked.returncode != 0:
        room = f"there is room for {RESULT_BYTES >> 20} MiB"
        raise GuestError(f"/tmp/out did not come back whole ({room}): {unpacked.stderr.strip()}")
    return int(status.stdout)


def _tar(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["tar", *arguments], check=False, capture_output=True, text=True)


def _end(heard: Sequence[str]) -> str:
    lines = "".join(heard).replace(HEARTBEAT, "").splitlines(keepends=True)
    return "".join(["; its console ended with\n", *lines[-LAST_LINES:]])
