"""Run recorders that end in every possible way, each while one slow call is made per second; as root, in the guest.

The captures, what was printed and what the driver saw (/tmp/out/ends.json) go to the host.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from workload import recorder
from workload.waiting import HANG_S, wait_until

OUT = Path("/tmp/out")
SMALL_PROGRAM = ("--languages", "none", "--http-bytes", "0")  # which is compiled in three quarters of the time
ZIPAPP = [str(Path(__file__).with_name("httprec.pyz"))]
USER = 1000
SLOW = 0.3
SLEEPS_S = 20  # longer than it takes to fall asleep, else nobody is left to be woken
OPEN_S = 1  # for which a recorder may keep back what it has shown
CROWD = 24
SEVERAL = 8  # calls of two clients, one after the other: some of them began after the first was shown


def serve(listener: socket.socket) -> None:
    while True:
        threading.Thread(target=answer, args=[listener.accept()[0]], daemon=True).start()


def answer(connection: socket.socket) -> None:
    while connection.recv(65536):
        time.sleep(SLOW)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def call_until(over: threading.Event, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while not over.is_set():
            connection.sendall(b"GET / HTTP/1.1\r\nHost: guest\r\n\r\n")
            connection.recv(65536)


@contextlib.contextmanager
def crowd(port: int) -> Iterator[None]:
    """Run clients that make calls all the time, so that one of them receives an answer whenever a recording ends."""
    over = threading.Event()
    clients = [threading.Thread(target=call_until, args=[over, port]) for _ in range(CROWD)]
    for client in clients:
        client.start()
    yield
    over.set()
    for client in clients:
        client.join()


# In a mount namespace of its own, by a user of its own: a copy of Python that only this user may read.
HIDDEN = """
mount -t tmpfs -o mode=1777 tmpfs /mnt
mkdir -m 700 /mnt/private
cp "$(readlink -f {python})" /mnt/private/hidden
cp {client} /mnt/private/client.py
chmod 700 /mnt/private/*
chown -R {user}:{user} /mnt/private
mount -t tmpfs -o mode=1777 tmpfs /tmp
exec {python} -c '
import os
os.setgroups([])
os.setgid({user})
os.setuid({user})
os.execv("/mnt/private/hidden", ["/mnt/private/hidden", "/mnt/private/client.py", "{port}"])
'
"""


def start_hidden(port: int) -> subprocess.Popen[bytes]:
    client = Path(__file__).with_name("hidden_client.py")
    script = HIDDEN.format(python=sys.executable, client=client, user=USER, port=port)
    process = subprocess.Popen(["unshare", "-m", "sh", "-ec", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # it has begun
    return process


def privileges(pid: int) -> list[str]:
    """Return the capabilities of each thread of a process."""
    words = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
    statuses = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return [" ".join(line.split()[1] for line in text.splitlines() if line.startswith(words)) for text in statuses]


def start(name: str, *options: str, **how: Any) -> subprocess.Popen[bytes]:
    """Start a recorder, and return it once it is tracing."""
    log = OUT / f"{name}.txt"
    process = recorder.start(log, log, *options, **how)
    recorder.wait_until_it_traces(process, log, log)
    return process


def attached(*names: str) -> list[str]:
    """Return what is attached to the kernel's functions, or could be; names of unused kretprobes are not probes."""
    lines = []
    for name in names or ("enabled_functions", "kprobe_events"):
        path = Path("/sys/kernel/tracing") / name
        lines += [line for line in path.read_text().splitlines() if "tcp_" in line] if path.exists() else []
    return lines


def shown(log: Path, pid: int | str = "") -> int:
    """Return how many calls a recorder has printed, of all processes or of one."""
    return log.read_text().count(f"PID: {pid}")


def wait_for_calls(log: Path, more: int = SEVERAL) -> int:
    """Wait until a recorder has printed this many more calls, and return how many it had printed before."""
    before = shown(log)
    wait_until(f"{more} calls more than {before} in {log}", lambda: shown(log) >= before + more)
    return before


def end_by_signal(port: int, hidden: int) -> dict[str, Any]:
    folder = OUT / "shared"
    folder.mkdir(mode=0o1777)
    capture = folder / "sigterm.cap"
    environment = {**os.environ, "SUDO_UID": str(USER), "SUDO_GID": str(USER)}
    process = start("sigterm", "-o", str(capture), env=environment)
    while_running = attached()
    log = OUT / "sigterm.txt"
    with crowd(port):
        wait_until("a call of each client", lambda: shown(log, f"{hidden}, ") > 0 and shown(log) > 4 * CROWD)
        held = privileges(process.pid)
        process.send_signal(signal.SIGTERM)
        code = process.wait()
    status = capture.stat()
    return {
        "exit_code": code,
        "privileges": held,
        "owner": [status.st_uid, status.st_gid],
        "mode": stat.S_IMODE(status.st_mode),
        "attached_while_running": while_running,
        "attached_afterwards": attached(),
    }


def end_by_duration_through_a_socket() -> dict[str, Any]:
    """Write the capture to standard output, which is a TCP connection, so that the recorder has traffic of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(listener.getsockname())
    receiver = listener.accept()[0]
    process = start("duration", "-o", "-", "-t", "0", "-d", "5", stdout=sender.fileno())
    sender.close()
    with open(OUT / "duration.cap", "wb") as capture:
        while data := receiver.recv(65536):
            capture.write(data)
    return {"exit_code": process.wait(), "recorder_pid": process.pid}


def end_by_kill(number: int) -> dict[str, Any]:
    """Kill the recorder at a random moment, with each kind of probes in turn."""
    name = f"kill{number}"
    log = OUT / f"{name}.txt"
    process = start(name, "-o", str(OUT / f"{name}.cap"), "--probes", ("kprobe", "fexit")[number % 2], *SMALL_PROGRAM)
    wait_for_calls(log, 1)
    time.sleep(random.uniform(0, 3))
    calls = shown(log)
    time.sleep(OPEN_S)
    wait_for_calls(log)  # on a busy machine a recorder is late
    process.kill()
    process.wait()
    wait_until("the kernel to detach a killed recorder", lambda: not attached("enabled_functions"))
    return {"shown_a_second_before": calls}


def end_by_full_disk() -> dict[str, Any]:
    small = OUT / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=17m", "tmpfs", str(small)], check=True)
    process = start("full", "-o", str(small / "full.cap"), *SMALL_PROGRAM)
    with open(small / "ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(65536))
    code = process.wait(HANG_S)
    (OUT / "full.cap").write_bytes((small / "full.cap").read_bytes())
    subprocess.run(["umount", str(small)], check=True)
    small.rmdir()
    return {"exit_code": code, "attached_afterwards": attached()}


CALL_ONCE = "import sys, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + sys.argv[1])"


def sleep_meanwhile(port: int) -> dict[str, Any]:
    """Suspend the guest to memory in the middle of a call, until its clock wakes it."""
    log = OUT / "slept.txt"
    process = start("slept", "-o", str(OUT / "slept.cap"))
    wait_for_calls(log)
    alarm = Path("/sys/class/rtc/rtc0/wakealarm")
    alarm.write_text(f"+{SLEEPS_S}")
    before, before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.monotonic_ns()
    Path("/sys/power/state").write_text("mem")
    after, after_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.monotonic_ns()
    later = subprocess.Popen([sys.executable, "-c", CALL_ONCE, str(port)])
    wait_until("a call that began afterwards", lambda: shown(log, f"{later.pid}, ") > 0)
    process.send_signal(signal.SIGTERM)
    slept_ns = after - before - (after_ns - before_ns)
    later.wait()
    return {"exit_code": process.wait(), "slept_ns": slept_ns, "before_ns": before_ns, "after_ns": after_ns}


def ended(*options: str, user: int = 0, command: Sequence[str] = recorder.COMMAND) -> dict[str, Any]:
    result = subprocess.run(
        [*command, *options],
        capture_output=True,
        text=True,
        user=user,
        group=user,
        extra_groups=[],
        check=False,
    )
    return {"exit_code": result.returncode, "printed": result.stdout + result.stderr}


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=[listener], daemon=True).start()
    port = listener.getsockname()[1]
    threading.Thread(target=call_until, args=[threading.Event(), port], daemon=True).start()
    hidden = start_hidden(port)
    existing, link = OUT / "existing.cap", OUT / "link.cap"
    existing.write_text("precious")
    link.symlink_to(existing)
    steps: dict[str, Callable[[], Any]] = {
        "not_root": lambda: ended("-o", "/tmp/x.cap", user=USER),
        "exists": lambda: ended("-o", str(existing)),
        "link": lambda: ended("-f", "-o", str(link)),
        "check": lambda: ended("--check", command=ZIPAPP),
        "check_not_root": lambda: ended("--check", user=USER),
        "signal": lambda: end_by_signal(port, hidden.pid),
        "duration": end_by_duration_through_a_socket,
        "kills": lambda: [end_by_kill(number) for number in range(int(sys.argv[1]))],
        "full": end_by_full_disk,
        "slept": lambda: sleep_meanwhile(port),
    }
    seen: dict[str, Any] = {"driver_pid": os.getpid(), "hidden_pid": hidden.pid}
    for name, step in steps.items():
        started = time.monotonic()
        seen[name] = step()
        print(f"{name}: {time.monotonic() - started:.1f} s", flush=True)
    hidden.kill()
    (OUT / "ends.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main()
