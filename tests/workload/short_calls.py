"""Make calls over several connections to a server in the same process, most of them fast, and print what happened by
the clock of the calls themselves.

Each line is one call: connection (by its client's port), number on it, and four readings of CLOCK_MONOTONIC in ns. The
client takes one before it sends and one after it has the answer; the server one after it has the request and one before
it answers.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
import time

REQUEST, ANSWER = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
READ = 4096


def serve(connection: socket.socket, log: list[tuple[int, int]]) -> None:
    """Answer the requests of a connection, each after as many ms as its path says."""
    with connection:
        while request := connection.recv(READ):
            received = time.monotonic_ns()
            time.sleep(int(request.split()[1][1:]) / 1000)
            log.append((received, time.monotonic_ns()))
            connection.sendall(ANSWER)


def ask(port: int, waits_ms: list[int], log: list[tuple[int, int]], ports: list[int]) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        ports.append(connection.getsockname()[1])
        for wait in waits_ms:
            sent = time.monotonic_ns()
            connection.sendall(REQUEST % wait)
            answer = connection.recv(READ)
            log.append((sent, time.monotonic_ns()))
            assert answer == ANSWER


def main() -> None:
    """Make the calls once a line is read, and print the log as JSON once they are made."""
    options = argparse.ArgumentParser()
    options.add_argument("connections", type=int)
    options.add_argument("calls", type=int, help="of each connection")
    options.add_argument("--slow-ms", type=int, default=0, help="of the last call of each connection")
    given = options.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    print("ready", flush=True)
    sys.stdin.readline()
    waits, threads, done = [0] * (given.calls - 1) + [given.slow_ms], list[threading.Thread](), []
    for _ in range(given.connections):
        asked, served, ports = list[tuple[int, int]](), list[tuple[int, int]](), list[int]()
        client = threading.Thread(target=ask, args=(listener.getsockname()[1], waits, asked, ports))
        client.start()
        server = threading.Thread(target=serve, args=(listener.accept()[0], served))
        server.start()
        threads += [client, server]
        done.append((ports, asked, served))
    for thread in threads:
        thread.join()
    print(json.dumps([[ports[0], asked, served] for ports, asked, served in done]), flush=True)


if __name__ == "__main__":
    main()
