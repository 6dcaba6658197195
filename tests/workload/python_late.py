"""Make calls of a Python program that become slow after the first byte of their response.

Both ends are in this process. It waits for a line on its standard input, makes the calls, and prints a line. Each
function below is where one kind of stack is taken.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

SLOW_S = 0.3
LARGE = 32 << 20  # bytes; more than both ends of a connection take without being read
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
LARGE_RESPONSE = HEAD % LARGE + bytes(LARGE)  # made here, since that may take long


def send_rest(connection: socket.socket) -> None:
    connection.sendall(b"rest")


def send_at_once(connection: socket.socket) -> None:
    connection.sendall(LARGE_RESPONSE)


def serve(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            if b"/large" in connection.recv(64):
                send_at_once(connection)
            else:
                connection.sendall(HEAD % 4)
                time.sleep(SLOW_S)
                send_rest(connection)


def ask(connection: socket.socket, path: bytes) -> None:
    connection.sendall(b"GET " + path + b" HTTP/1.1\r\n\r\n")


def read(connection: socket.socket) -> None:
    while connection.recv(1 << 20):
        pass


def call(port: int, path: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        ask(connection, path)
        if path == b"/large":
            connection.recv(1)
            time.sleep(SLOW_S)
        read(connection)


with socket.create_server(("127.0.0.1", 0)) as listener:
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    sys.stdin.readline()
    for _ in range(3):
        for path in (b"/rest", b"/large"):
            call(listener.getsockname()[1], path)
    print("called", flush=True)
    sys.stdin.readline()
