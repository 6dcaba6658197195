"""Make as many calls as the guest can for SECONDS, under a recorder that records all of them; as root, in the guest.

Clients make calls on connections that stay open, and processes make one call and end. Every ten seconds, the recorder's
memory and ledger are noted. It writes in parts, of which few are kept, because /tmp is memory.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import signal
import socket
import struct
import sys
import time
from subprocess import Popen
from typing import Any

from vm.ends_driver import OUT, start
from vm.overload_driver import REQUEST, answer_for_ever, child, cost

CLIENTS = 3
SAMPLE_S = 10
PARTS = ["--rotate-size", "8", "--rotate-keep", "3"]


class Tally:
    """Share between all processes how many calls each client made, and whether to stop."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 8 * (CLIENTS + 2))

    def add(self, client: int) -> None:
        struct.pack_into("<Q", self._shared, 8 * client, struct.unpack_from("<Q", self._shared, 8 * client)[0] + 1)

    @property
    def calls(self) -> int:
        return sum(struct.unpack_from(f"<{CLIENTS + 1}Q", self._shared))

    @property
    def over(self) -> bool:
        return bool(self._shared[-1])

    def stop(self) -> None:
        self._shared[-1] = 1


def call_for_ever(port: int, tally: Tally, client: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while not tally.over:
            connection.sendall(REQUEST)
            connection.recv(65536)
            tally.add(client)


def call_once(port: int, tally: Tally) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(REQUEST)
        connection.recv(65536)
        tally.add(CLIENTS)


def fork_for_ever(port: int, tally: Tally) -> None:
    while not tally.over:
        os.waitpid(child(lambda: call_once(port, tally)), 0)


def samples(recorder: Popen[bytes], tally: Tally, seconds: float) -> list[dict[str, Any]]:
    found, started = [], time.monotonic()
    for number in itertools.count(1):
        time.sleep(max(started + number * SAMPLE_S - time.monotonic(), 0))
        now = time.monotonic() - started
        found.append({"at": round(now, 1), "calls": tally.calls, **cost(recorder)})
        print("soak:", found[-1], flush=True)
        if now >= seconds:
            return found
    raise AssertionError


def main() -> None:
    seconds = float(sys.argv[1])
    listener, tally = socket.create_server(("127.0.0.1", 0), backlog=64), Tally()
    port = listener.getsockname()[1]
    servers = [child(lambda: answer_for_ever(listener)) for _ in range(CLIENTS + 1)]
    recorder = start("soak", "-o", str(OUT / "soak.cap"), "-t", "0", "-q", *PARTS)
    clients = [child(lambda n=number: call_for_ever(port, tally, n)) for number in range(CLIENTS)]  # type: ignore[misc]
    clients.append(child(lambda: fork_for_ever(port, tally)))
    found = samples(recorder, tally, seconds)
    tally.stop()
    for pid in clients:
        os.waitpid(pid, 0)
    recorder.send_signal(signal.SIGTERM)
    code = recorder.wait()
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
    said = (OUT / "soak.txt").read_text()
    (OUT / "soak.json").write_text(
        json.dumps({"calls": tally.calls, "exit_code": code, "said": said, "samples": found})
    )


if __name__ == "__main__":
    main()
