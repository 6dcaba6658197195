"""Run a driver in a guest, together with the recorder that is installed here."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vm import cache, guest

TESTS = Path(__file__).resolve().parent.parent
RECORDER = ("httprec", "httpbpf", "httpcapture")
SCRIPT = "export PYTHONPATH=/tmp/job PYTHONDONTWRITEBYTECODE=1\nexec {command}\n"
# What Debian 11 has no package of: for its Python, as docs/install.md has it.
WHEELS = {"bullseye": [["zstandard==0.25.0", "--python-version=3.9", "--platform=manylinux2014_x86_64"]]}
FEW = 4  # probes that the kernel may skip in a run
UNNEEDED = shutil.ignore_patterns("__pycache__", "test_*")


def run(
    command: Iterable[str],
    sources: Iterable[Path],
    out: Path,
    *,
    timeout_s: float = guest.MOST_S,
    suite: str = guest.SUITE,
    kernel: str | None = None,
    cpus: int = 2,
    counting: bool = False,
    verbose: bool = False,
    wheels: Sequence[Sequence[str]] = (),
) -> str:
    """Run `command` as root in a guest (`suite`, `kernel`, `cpus` and `counting` as for guest.run), in a folder with
    `sources` (files, or folders) and `wheels` (packages, as pip downloads them), and fetch its /tmp/out into `out`. The
    recorder is `python3 -m httprec` there. Return the console, and show it meanwhile if `verbose`. Raises GuestError,
    also if the command fails."""
    with tempfile.TemporaryDirectory(prefix="httprec-job-") as folder:
        job = Path(folder)
        for wheel in (*WHEELS.get(suite, ()), *wheels):
            unpack(wheel, job)
        for source in (*map(installed, RECORDER), *sources):
            if source.is_dir():
                shutil.copytree(source, job / source.name, ignore=UNNEEDED)
            else:
                shutil.copy(source, job)
        (job / "run.sh").write_text(SCRIPT.format(command=shlex.join(command)))
        result = guest.run(
            job, out, suite=suite, kernel=kernel, cpus=cpus, counting=counting, timeout_s=timeout_s, verbose=verbose
        )
    if result.exit_code != 0:
        raise guest.GuestError(f"{shlex.join(command)} ended with status {result.exit_code}:\n{result.console}")
    return result.console


def lost(ledger: Mapping[str, int]) -> dict[str, int]:
    """Return what a recorder lost, by cause, without calls that had begun before it, and a few probes that the kernel
    skipped.

    It runs no BPF program that its processor is in already (`active`, __bpf_trace_run in kernel/trace/bpf_trace.c of
    6.1), and TCP changes the states of connections in interrupts too. It is not the recorder's fault, which counts it.
    """
    expected = {"call_not_paired": sys.maxsize, "probe_missed": FEW}
    return {cause: count for cause, count in ledger.items() if count > expected.get(cause, 0)}


def unpack(wheel: Sequence[str], folder: Path) -> None:
    """Unpack a Python package that a suite lacks into `folder`, as pip has it. Raises GuestError."""

    def download(space: Path) -> Path:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(space)]
        done = subprocess.run([*command, *wheel], check=False, capture_output=True, text=True)
        found = list(space.glob("*.whl"))
        if done.returncode != 0 or len(found) != 1:
            raise guest.GuestError(f"{shlex.join(command)}: {done.stderr.strip()}")
        return found[0]

    with zipfile.ZipFile(cache.entry("wheel", cache.key(*wheel), download, keep=5)) as archive:
        archive.extractall(folder)


def installed(package: str) -> Path:
    """Return the folder of an import package, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise guest.GuestError(f"{package} is not installed: pip install -e '.[report,dev]'")
    return Path(found.origin).parent
