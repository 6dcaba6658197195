"""Answer from several kinds of Python frames, and note what the interpreter itself says of the frames of each answer.

Runs on CPython 3.8 and later: python_answers.py NOTES. It prints its port, and ends with its standard input. A thread
for each connection sends back each request (python_situations.py). Each send is on the line that also notes its frames:
function, file and line must all agree.
"""

from __future__ import annotations

import asyncio
import socketserver
import sys
import threading
from collections.abc import Iterator
from typing import Any, Callable

from workload.python_notes import Notes

NOTES = Notes(sys.argv[1])
NUMBER_SIZE, REQUEST_SIZE = 8, 23
Send = Callable[[bytes], int]


def note(situation: str, request: bytes) -> bytes:
    """Note the frames of the caller, and return what it has to send."""
    NOTES.write(situation, request[:NUMBER_SIZE].decode(), sys._getframe(1))
    return request


def plain(send: Send, request: bytes) -> None:
    send(note("plain", request))


def recursion(send: Send, request: bytes, n: int = 30) -> None:
    if n:
        recursion(send, request, n - 1)
        return
    send(note("recursion", request))


def view(send: Send, request: bytes) -> Iterator[None]:
    yield
    send(note("generator", request))


def in_generator(send: Send, request: bytes) -> None:
    list(view(send, request))


def through_c(send: Send, request: bytes) -> None:
    list(map(lambda request: send(note("through C", request)), [request]))  # noqa: C417 (through C)


async def coroutine(send: Send, request: bytes) -> None:
    await asyncio.sleep(0)
    send(note("coroutine", request))


def in_coroutine(send: Send, request: bytes) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(coroutine(send, request))
    loop.close()


WAYS = (plain, recursion, in_generator, through_c, in_coroutine)


class Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        send = self.request.send  # a function in C, so that no Python frame is below it
        while True:
            request: Any = self.request.recv(REQUEST_SIZE)
            if not request:
                return
            WAYS[int(request[1:NUMBER_SIZE]) % len(WAYS)](send, request)


def main() -> None:
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)
        sys.stdin.read()
        NOTES.close()
        server.shutdown()


main()
