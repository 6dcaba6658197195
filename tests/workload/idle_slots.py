"""Use up the slots for stack copies on one processor after they have been given back on the others; as root.

    python3 -m workload.idle_slots OUT PROBES

Calls wait on every processor but the last, as many as a processor keeps slots, and are answered there: then these
processors keep all slots. After that the same number of calls waits on the last processor, and one more.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from workload.recorder import recording

KEPT = 16  # slots that a processor keeps: FEW_SLOTS in httpbpf.program
NAME = "idle-slots"
REQUEST = b"GET /%d HTTP/1.1\r\nHost: local\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def answer_at_each_line(listener: socket.socket, wishes: int) -> None:
    """Answer all requests of the connections so far, whenever a number of connections can be read from `wishes`."""
    with os.fdopen(wishes, "rb") as lines:
        for line in lines:
            connections = [listener.accept()[0] for _ in range(int(line))]
            for connection in connections:
                connection.recv(65536)
            for connection in connections:
                connection.sendall(RESPONSE)
                connection.close()


def wait_at_once(processor: int, calls: int, port: int, wishes: int) -> None:
    """Make calls on one processor that are all open at the same time, and let them be answered there."""
    os.sched_setaffinity(0, {processor})
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(calls)]
    for number, client in enumerate(clients):
        client.sendall(REQUEST % number)
    os.write(wishes, b"%d\n" % calls)
    for client in clients:
        assert client.recv(65536) == RESPONSE
        client.close()


def main(out: Path, probes: str) -> None:
    *others, last = sorted(os.sched_getaffinity(0))
    slots = KEPT * len(others)
    options = ["--probes", probes, "-t", "0", "-q", "-p", NAME, "--stack-slots", str(slots)]
    with socket.create_server(("127.0.0.1", 0), backlog=slots + 1) as listener:
        port = listener.getsockname()[1]
        wanted, wishes = os.pipe()
        if not os.fork():
            os.close(wishes)
            answer_at_each_line(listener, wanted)
            os._exit(0)
        with recording(out / f"slots-{probes}.cap", *options):
            Path("/proc/self/comm").write_text(NAME)
            for processor in others:
                wait_at_once(processor, KEPT, port, wishes)
            wait_at_once(last, slots + 1, port, wishes)
        os.close(wishes)
        os.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
