"""Run `make demo`: record slow calls of real programs as root, then report the capture as an ordinary user.

The running kernel is used if httprec can attach its probes to it, else a Debian guest. The results are in build/demo
and belong to the owner of the clone.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from vm import guest, recorded
from vm.apt import AptError
from vm.image import image
from vm.rootfs import ImageError
from workload.recorder import COMMAND
from workload.servers import HERE as WORKLOAD
from workload.servers import missing

SUITE = "bookworm"
DRIVER = Path(__file__).resolve().with_name("demo_driver.py")
ROOT = DRIVER.parents[1]
OUT = ROOT / "build" / "demo"
REPORT = ["-t", "300", "-p", "nova-api"]
PAGE = ["--html", "report.html"]
HTTPREPORT = "from httpreport.cli.main import main; main(prog_name='httpreport')"
TRACE_LINES, FOLDED_LINES, COLUMNS = 32, 4, 118


def main() -> int:
    """Run the demo and return the exit status."""
    started = time.monotonic()
    try:
        with own_folder():
            demonstrate()
    except (AptError, ImageError, guest.GuestError, subprocess.CalledProcessError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"\nAll of it is in {OUT}. It took {time.monotonic() - started:.0f} s.")
    print(f"To look at it, open {OUT / PAGE[-1]} in a browser.")
    return 0


@contextmanager
def own_folder() -> Iterator[None]:
    """Create an empty OUT that no other run uses, and give it to the clone's owner afterwards. Raises OSError."""
    OUT.parent.mkdir(exist_ok=True)
    build, clone = os.open(OUT.parent, os.O_RDONLY), ROOT.stat()
    try:
        lock(build)
        os.chown(build, clone.st_uid, clone.st_gid)
        if OUT.exists():
            shutil.rmtree(OUT)
        OUT.mkdir()
        try:
            yield
        finally:
            give(clone.st_uid, clone.st_gid)
    finally:
        os.close(build)


def lock(folder: int) -> None:
    """Keep other runs out of a folder while it is open. Raises OSError if another run uses it."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(f"another make demo writes to {OUT}: wait until it has ended") from None


def give(uid: int, gid: int) -> None:
    """Make a user the owner of OUT and of its files."""
    for path in (OUT, *OUT.iterdir()):
        os.chown(path, uid, gid, follow_symlinks=False)


def demonstrate() -> None:
    """Record, report, and print each step."""
    with step("Can httprec attach its probes to the running kernel?"):
        refusal = refused()
        print(f"No, so an emulated Debian {SUITE} is used: {refusal}" if refusal else "Yes.")
    if refusal:
        with step("The guest: Debian's kernel and packages, built unless an earlier run did"):
            image(SUITE, SUITE)
        with step("In the guest: real programs, and httprec recording them"):
            command = ["python3", DRIVER.name, "/tmp/out"]
            recorded.run(command, [WORKLOAD, DRIVER], OUT, suite=SUITE, verbose=True)
    else:
        with step("Real programs, and httprec recording them"):
            environment = {**os.environ, "PYTHONPATH": str(WORKLOAD.parent)}
            subprocess.run([sys.executable, DRIVER, OUT], check=True, env=environment)
    with step("The capture is all that travels"):
        print(f"run.cap has {(OUT / 'run.cap').stat().st_size:,} bytes.")
    user = ordinary_user()
    with step(f"As {user.pw_name}, an ordinary user: httpreport run.cap {' '.join(REPORT)}"):
        report(user, REPORT)
    with step("The head of stack_traces.txt"):
        head(OUT / "stack_traces.txt", TRACE_LINES)
    with step("The head of stacks.folded"):
        head(OUT / "stacks.folded", FOLDED_LINES)
    with step(f"The page, with every call: httpreport run.cap {' '.join(PAGE)}"):
        report(user, PAGE)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print the title of a step, and how long it took."""
    started = time.monotonic()
    print(f"\n--- {title}", flush=True)
    yield
    seconds = time.monotonic() - started
    if seconds >= 0.1:
        print(f"    ({seconds:.1f} s)", flush=True)


def refused() -> str | None:
    """Let httprec try the running kernel, and return why it cannot be used, or None."""
    with tempfile.TemporaryDirectory() as folder:
        attempt = [*COMMAND, "-o", f"{folder}/attempt.cap", "-d", "0", "-q"]
        done = subprocess.run(attempt, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        return done.stderr.strip()
    return ", ".join(lacking) + ": not installed" if (lacking := missing()) else None


def ordinary_user() -> pwd.struct_passwd:
    """Return the user who ran sudo, else `nobody`; or the current user if that is not root."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    return pwd.getpwuid(int(os.environ.get("SUDO_UID") or 0) or pwd.getpwnam("nobody").pw_uid)


def report(user: pwd.struct_passwd, options: list[str]) -> None:
    """Run httpreport in OUT as `user`. OUT and the folders of its modules may lie where only root can go, so they are
    handed over as open descriptors."""
    folders = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in sys.path if os.path.isdir(path)]
    path = ":".join(f"/proc/self/fd/{folder}" for folder in folders)
    command = [os.path.realpath(sys.executable), "-c", HTTPREPORT, "run.cap", *options]
    give(user.pw_uid, user.pw_gid)
    environment = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": str(COLUMNS), "LANG": "C.UTF-8"}
    groups: list[int] | None = [] if os.getuid() == 0 else None  # None: as they are
    subprocess.run(
        command,
        check=True,
        cwd=OUT,
        env=environment,
        pass_fds=folders,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=groups,
    )


def head(file: Path, most: int) -> None:
    """Print the first `most` lines of a file, and how many more it has."""
    lines = file.read_text().splitlines()
    for line in lines[:most]:
        print(line if len(line) <= COLUMNS else line[: COLUMNS - 3] + "...")
    if len(lines) > most:
        print(f"... and {len(lines) - most:,} more")


if __name__ == "__main__":
    sys.exit(main())
