"""Answer requests for each of which many short calls are made, and print what happened by the clock of the programs
themselves.

`others` is the upstream, which answers after some ms, and the client, which makes the requests one after the other;
`service` makes the calls, one after the other, and then works some ms by itself. All times are readings of
CLOCK_MONOTONIC in ns, of a pair that lies within what it is about at the side that answers, and around it at the side
that asks.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable

REQUEST, ANSWER = b"GET /work HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REQUESTS, CALLS, CALL_MS, OWN_MS = 4, 50, 7, 50
READ = 4096

Span = tuple[int, int]


def ask(connection: socket.socket) -> Span:
    """Make a call, and return times before and after it."""
    before = time.monotonic_ns()
    connection.sendall(REQUEST)
    answer = connection.recv(READ)
    after = time.monotonic_ns()
    assert answer == ANSWER
    return before, after


def serve(listener: socket.socket, work: Callable[[], None]) -> list[Span]:
    """Answer the calls of one connection, and return times within each."""
    spans = []
    connection, _ = listener.accept()
    with connection:
        while connection.recv(READ):
            received = time.monotonic_ns()
            work()
            spans.append((received, time.monotonic_ns()))
            connection.sendall(ANSWER)
    return spans


def others() -> None:
    """Be the upstream, and make requests of the service whose port is the first line of the input. Print the times of
    the requests, and those of the upstream's calls."""
    listener, served = socket.create_server(("127.0.0.1", 0)), list[Span]()
    upstream = threading.Thread(
        target=lambda: served.extend(serve(listener, lambda: time.sleep(CALL_MS / 1000))), daemon=True
    )
    upstream.start()
    print(listener.getsockname()[1], flush=True)
    with socket.create_connection(("127.0.0.1", int(sys.stdin.readline()))) as connection:
        requests = [ask(connection) for _ in range(REQUESTS)]
    upstream.join()
    print(json.dumps([requests, served]), flush=True)


def service(upstream: int) -> None:
    """Answer the requests of one connection. Print their times, and those of the calls."""
    listener, calls = socket.create_server(("127.0.0.1", 0)), list[Span]()
    print(listener.getsockname()[1], flush=True)
    with socket.create_connection(("127.0.0.1", upstream)) as connection:

        def work() -> None:
            calls.extend(ask(connection) for _ in range(CALLS))
            time.sleep(OWN_MS / 1000)

        requests = serve(listener, work)
    print(json.dumps([requests, calls]), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "service":
        service(int(sys.argv[2]))
    else:
        others()
