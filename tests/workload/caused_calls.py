"""Answer HTTP requests by making HTTP requests, in one of several ways. Each request has an ID as its path, with which
the requests that it causes are made, too.

    caused_calls.py upstream PORT             answers after some milliseconds
    caused_calls.py load PORT COUNT AT_ONCE   makes requests, so many at once, and prints `done`
    caused_calls.py WAY PORT UPSTREAM_PORT    asks the upstream twice for each request

`threads` has a thread for each connection. `loop`, `gather` and `late` have one thread for all: the first makes the two
requests one after the other, the second at once, each in a task of its own. `late` does that after a while. `pool` has
one thread that receives and answers, and others that ask. Each prints `ready` once it listens.
"""

from __future__ import annotations

import asyncio
import http.client
import random
import socketserver
import string
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from itertools import product

LEAST_S, MOST_S = 0.02, 0.06  # how long the upstream takes
BODY = b"done\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
PATHS = ["/" + "".join(letters) for letters in product(string.ascii_lowercase, repeat=3)]  # fit into request_head


class Asker(threading.local):
    """Make requests to a port on a connection for each thread."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port)

    def ask(self, path: str) -> None:
        self.connection.request("GET", path)
        self.connection.getresponse().read()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 200


def serve_by_threads(port: int, upstream: int, *, ticks: bool = False) -> None:
    asker = Asker(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asker.ask(self.path)
            asker.ask(self.path)
            self.wfile.write(HEAD + BODY)

        def log_message(self, *_: object) -> None:
            pass

    def tick() -> None:
        while True:
            asker.ask("/ticks")

    with Server(("127.0.0.1", port), Handler) as server:
        if ticks:
            threading.Thread(target=tick, daemon=True).start()
        print("ready", flush=True)
        server.serve_forever()


async def read_head(reader: asyncio.StreamReader) -> str:
    """Return the path of the next request."""
    return (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()


class Connections:
    """Ask a port from an event loop, on connections that are used again."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, path: str) -> None:
        reader, writer = self.free.pop() if self.free else await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: upstream\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(BODY))
        self.free.append((reader, writer))


async def serve_by_loop(port: int, way: str, upstream: int) -> None:
    connections, asker, pool = Connections(upstream), Asker(upstream), ThreadPoolExecutor(40)

    async def work(path: str) -> None:
        if way == "upstream":
            await asyncio.sleep(random.uniform(LEAST_S, MOST_S))
        elif way in ("gather", "late"):
            if way == "late":
                await asyncio.sleep(random.uniform(LEAST_S, MOST_S))
            await asyncio.gather(connections.ask(path), connections.ask(path))
        elif way == "pool":
            for _ in range(2):
                await asyncio.get_running_loop().run_in_executor(pool, asker.ask, path)
        else:
            await connections.ask(path)
            await connections.ask(path)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await work(await read_head(reader))
                writer.write(HEAD + BODY)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=200)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


def load(port: int, count: int, at_once: int) -> None:
    asker = Asker(port)
    print("ready", flush=True)
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(asker.ask, PATHS[:count]))
    print("done", flush=True)


def main() -> None:
    way, *numbers = sys.argv[1:]
    port, *others = map(int, numbers)
    if way == "load":
        load(port, *others)
    elif way in ("threads", "ticks"):
        serve_by_threads(port, *others, ticks=way == "ticks")
    else:
        asyncio.run(serve_by_loop(port, way, *(others or [0])))


if __name__ == "__main__":
    main()
