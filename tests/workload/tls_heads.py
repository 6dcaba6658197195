"""Ask over TLS 1.2 and 1.3, and in clear, on kept connections: by threads whose sockets OpenSSL reads and writes, and
by asyncio, which does so for OpenSSL. The servers are of both kinds too. Prints what was asked, as JSON.

    python3 -m workload.tls_heads SECRET
"""

from __future__ import annotations

import asyncio
import http.client
import http.server
import json
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

KEY = Path(__file__).with_name("localhost.pem")
HOST = "127.0.0.1"
SLOW_S = 0.2
CONNECTIONS, CALLS = 4, 6  # of each client and server, and on each connection
STATUSES = (200, 404, 503, 201)
SECURITY = ("plain", "TLSv1_2", "TLSv1_3")
SECRET = sys.argv[1] if len(sys.argv) > 1 else ""

Asked = dict[str, Any]


def context(version: str, *, server: bool) -> ssl.SSLContext | None:
    if version == "plain":
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.minimum_version = made.maximum_version = ssl.TLSVersion[version]
    if server:
        made.load_cert_chain(KEY)
    return made


def is_slow(path: str) -> bool:
    """Return whether a path is answered late."""
    return int(path.partition("?")[0].rpartition("/")[2]) % 2 == 1


def plan(path: str) -> tuple[int, float]:
    """Return the status with which a path is answered, and after how long."""
    number = int(path.partition("?")[0].rpartition("/")[2])
    return STATUSES[number % len(STATUSES)], SLOW_S if is_slow(path) else 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, delay = plan(self.path)
        time.sleep(delay)
        self.send_response(status)
        self.send_header("x-request-id", self.headers["x-request-id"])
        self.send_header("set-cookie", SECRET)
        self.send_header("content-length", str(len(SECRET)))
        self.end_headers()
        self.wfile.write(SECRET.encode())

    def log_message(self, *arguments: object) -> None:
        pass


class ThreadedServer(http.server.ThreadingHTTPServer):
    daemon_threads = True


def threaded_server(version: str, stack: ExitStack) -> int:
    """Start a server whose threads read and write by OpenSSL, and return its port."""
    server = ThreadedServer((HOST, 0), Handler)
    made = context(version, server=True)
    if made:
        server.socket = made.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return served(server, stack)


def served(server: ThreadedServer, stack: ExitStack) -> int:
    """Let a server answer, and return its port."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.shutdown)
    return int(server.server_port)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            break
        lines = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
        await reader.readexactly(int(lines["content-length"]))
        status, delay = plan(head.split()[1])
        await asyncio.sleep(delay)
        answer_head = f"HTTP/1.1 {status} X\r\nx-request-id: {lines['x-request-id']}\r\nset-cookie: {SECRET}\r\n"
        writer.write(f"{answer_head}content-length: {len(SECRET)}\r\n\r\n{SECRET}".encode())
        await writer.drain()
    writer.close()


def requests_of(name: str) -> Iterator[tuple[str, str]]:
    """Yield the paths of a connection, and the IDs of their requests."""
    for number in range(CALLS):
        yield f"/{name}/call/{number}", f"{name}-{number}"


def asked(port: int, path: str, id: str, status: int, t0: int) -> Asked:
    return {"port": port, "path": path, "id": id, "status": status, "t0": t0, "t3": time.monotonic_ns()}


def ask_by_thread(port: int, version: str, name: str) -> list[Asked]:
    made = context(version, server=False)
    return ask(
        http.client.HTTPSConnection(HOST, port, context=made) if made else http.client.HTTPConnection(HOST, port), name
    )


def ask(connection: http.client.HTTPConnection, name: str) -> list[Asked]:
    """Make the calls of a connection, and return them."""
    calls = []
    for path, id in requests_of(name):
        t0 = time.monotonic_ns()
        headers = {"x-request-id": id, "authorization": SECRET, "cookie": SECRET}
        connection.request("POST", f"{path}?token={SECRET}", SECRET, headers)
        own_port = connection.sock.getsockname()[1]
        response = connection.getresponse()
        response.read()
        calls.append(asked(own_port, path, id, response.status, t0))
    connection.close()
    return calls


async def ask_by_asyncio(port: int, version: str, name: str) -> list[Asked]:
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context(version, server=False))
    calls = []
    for path, id in requests_of(name):
        t0 = time.monotonic_ns()
        head = f"POST {path}?token={SECRET} HTTP/1.1\r\nhost: {HOST}:{port}\r\nx-request-id: {id}\r\n"
        head += f"authorization: {SECRET}\r\ncontent-length: {len(SECRET)}\r\n\r\n"
        writer.write(head.encode() + SECRET.encode())
        answer_head = (await reader.readuntil(b"\r\n\r\n")).decode()
        await reader.readexactly(len(SECRET))
        calls.append(asked(writer.get_extra_info("sockname")[1], path, id, int(answer_head.split()[1]), t0))
    writer.close()
    return calls


async def main() -> list[Asked]:
    loop, calls = asyncio.get_running_loop(), []
    with ExitStack() as stack, ThreadPoolExecutor(64) as pool:
        waiting = []
        for version in SECURITY:
            server = await asyncio.start_server(answer, HOST, 0, ssl=context(version, server=True))
            ports = {"threads": threaded_server(version, stack), "asyncio": server.sockets[0].getsockname()[1]}
            for kind, port in ports.items():
                for number in range(CONNECTIONS):
                    name = f"{version}-{kind}-by"
                    waiting.append(loop.run_in_executor(pool, ask_by_thread, port, version, f"{name}-thread{number}"))
                    waiting.append(asyncio.ensure_future(ask_by_asyncio(port, version, f"{name}-asyncio{number}")))
        for some in await asyncio.gather(*waiting):
            calls += some
    return calls


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
