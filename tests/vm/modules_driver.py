"""Run programs (asker.c, built by the host) whose files are deleted, changed or created while recorded; as root, in the
guest.

A scenario is a process of its own with a file of its own. It asks a server here, which answers slowly; what happens to
its file happens before it asks or while it waits. /tmp/out/pids.json says which process each scenario is, fexit.cap and
kprobe.cap have been recorded at the same time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from workload.recorder import recordings
from workload.waiting import wait_until

OUT = Path("/tmp/out")
PROGRAMS = Path(__file__).with_name("programs")
PLACE = Path("/tmp/askers")
SLOW_S = 0.3
ASKS = "bcdjJlt"  # of asker's letters

Action = Callable[[Path, Sequence[int]], None]
"""What happens to a program's file; the pids are the recorders'."""


def nothing(program: Path, recorders: Sequence[int]) -> None:
    """Leave the file as it is."""


def upgrade(program: Path, recorders: Sequence[int]) -> None:
    new = program.with_suffix(".new")
    shutil.copy(PROGRAMS / "other_build", new)
    new.replace(program)


def delete(program: Path, recorders: Sequence[int]) -> None:
    program.unlink()


def wait_until_seen(program: Path, recorders: Sequence[int]) -> None:
    """Wait until a recorder has a program open: it does so from reading the maps of its process until it copies the
    program."""
    for recorder in recorders:
        wait_until(f"recorder {recorder} to open {program}", partial(has_open, recorder, program))


def has_open(pid: int, path: Path) -> bool:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed since
            if os.readlink(link) == str(path):
                return True
    return False


@dataclass(frozen=True)
class Scenario:
    """Describe a scenario. `letters` and `other` are arguments of asker; `through` is a shell command that becomes the
    program $0."""

    program: str = "asker"
    letters: str = "c"
    other: str = ""
    before: Action = nothing
    meanwhile: Action = nothing  # while the first call waits
    through: str = 'exec "$0" "$@"'

    @property
    def calls(self) -> int:
        return sum(letter in ASKS for letter in self.letters)


# Another build is at the very path outside.
IN_TMPFS = """b=/bin/busybox; $b mount -t tmpfs tmpfs /mnt && $b cp "$0" /mnt/asker && exec /mnt/asker "$@" """
PIVOTED = """b=/bin/busybox; $b mount -t tmpfs tmpfs /mnt && $b cp "$0" /mnt/asker && $b mkdir /mnt/old && cd /mnt &&
$b pivot_root . old && old$b umount -l old && exec /asker "$@" """
IN_NAMESPACE = 'exec /bin/busybox unshare -m /bin/sh -c \'{}\' "$0" "$@"'

SCENARIOS = {
    "upgraded": Scenario(meanwhile=upgrade),
    "upgraded_before": Scenario(before=upgrade),
    "deleted": Scenario(meanwhile=delete),
    "in_tmpfs": Scenario(through=IN_NAMESPACE.format(IN_TMPFS)),
    "pivoted": Scenario("static", through=IN_NAMESPACE.format(PIVOTED)),
    "dlopen": Scenario(letters="cd", other="library.so"),
    "exec": Scenario(letters="cec", other="other_build", meanwhile=wait_until_seen),
    "exec_static": Scenario("static", letters="cec", other="static_other_build", meanwhile=wait_until_seen),
    "leaves": Scenario(letters="l", meanwhile=wait_until_seen),
    "main_thread_ended": Scenario(letters="t"),
    "unused_buffer": Scenario(letters="b"),
    **{name: Scenario(name) for name in ("no_pie", "static", "static_pie", "stripped", "no_build_id")},
    "jit": Scenario(letters="j"),
    "jit_map": Scenario(letters="J"),
}


class Server:
    """Answer each request after SLOW_S; before the first answer to a path, also do what `meanwhile` has for it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.meanwhile: dict[str, Callable[[], None]] = {}
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            threading.Thread(target=self._answer, args=[self._listener.accept()[0]], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        name = connection.recv(65536).split()[1].decode().lstrip("/")
        self.meanwhile.pop(name, lambda: None)()
        time.sleep(SLOW_S)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def start(name: str, server: Server, recorders: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start a scenario's process with everything that it needs, and return it."""
    scenario, program = SCENARIOS[name], PLACE / name / "asker"
    program.parent.mkdir(parents=True)
    shutil.copy(PROGRAMS / scenario.program, program)
    server.meanwhile[name] = lambda: scenario.meanwhile(program, recorders)
    arguments = [str(program), str(server.port), name, str(PROGRAMS / scenario.other)]
    process = subprocess.Popen(["/bin/sh", "-c", scenario.through, *arguments], stdin=subprocess.PIPE)
    wait_until(f"{name} to be its program", lambda: Path(f"/proc/{process.pid}/comm").read_text() == "asker\n")
    scenario.before(program, recorders)
    assert process.stdin is not None
    process.stdin.write(scenario.letters.encode())
    process.stdin.flush()
    return process


def has_shown(recorders: Iterable[Path], pid: int, calls: int) -> bool:
    """Return whether each recorder has printed this many calls of a process."""
    printed = (capture.with_suffix(".out").read_text() for capture in recorders)
    return all(text.count(f"PID: {pid}, ") == calls for text in printed)


def run_each(server: Server, recorders: Mapping[Path, int]) -> dict[str, subprocess.Popen[bytes]]:
    """Run one scenario after the other, each until its calls are recorded. Processes that can continue wait for more
    work."""
    processes = {}
    for name, scenario in SCENARIOS.items():
        started = time.monotonic()
        process = processes[name] = start(name, server, list(recorders.values()))
        wait_until(f"the calls of {name}", partial(has_shown, recorders, process.pid, scenario.calls))
        print(f"{name}: {time.monotonic() - started:.1f} s", flush=True)
    return processes


def main() -> None:
    shutil.copy(PROGRAMS / "static_other_build", "/asker")
    server = Server()
    wanted = {OUT / f"{probes}.cap": ("--probes", probes) for probes in ("fexit", "kprobe")}
    with recordings(wanted) as recorders:
        processes = run_each(server, {capture: recorder.pid for capture, recorder in recorders.items()})
    for process in processes.values():
        process.communicate()
    (OUT / "pids.json").write_text(json.dumps({name: process.pid for name, process in processes.items()}))


if __name__ == "__main__":
    main()
