"""A driver is run in a guest beside the recorder under test, which is the one that is installed here."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from vm import guest

TESTS = Path(__file__).resolve().parent.parent
RECORDER = ("httprec", "httpbpf", "httpcapture")
SCRIPT = "export PYTHONPATH=/tmp/job PYTHONDONTWRITEBYTECODE=1\nexec {command}\n"
UNNEEDED = shutil.ignore_patterns("__pycache__", "test_*")


def run(
    command: Iterable[str],
    sources: Iterable[Path],
    out: Path,
    *,
    timeout_s: float,
    kernel: str | None = None,
    verbose: bool = False,
) -> str:
    """Run `command` as root in a guest, in a folder with `sources` (files, or folders), and fetch its /tmp/out into
    `out`. The recorder is `python3 -m httprec` there. Gives the console, and shows it meanwhile if `verbose`; raises
    GuestError also when the command fails.
    """
    with tempfile.TemporaryDirectory(prefix="httprec-job-") as folder:
        job = Path(folder)
        for source in (*map(installed, RECORDER), *sources):
            if source.is_dir():
                shutil.copytree(source, job / source.name, ignore=UNNEEDED)
            else:
                shutil.copy(source, job)
        (job / "run.sh").write_text(SCRIPT.format(command=shlex.join(command)))
        result = guest.run(job, out, kernel=kernel, timeout_s=timeout_s, verbose=verbose)
    if result.exit_code != 0:
        raise guest.GuestError(f"{shlex.join(command)} ended with status {result.exit_code}:\n{result.console}")
    return result.console


def installed(package: str) -> Path:
    """The folder of an import package, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise guest.GuestError(f"{package} is not installed: pip install -e '.[report,dev]'")
    return Path(found.origin).parent
