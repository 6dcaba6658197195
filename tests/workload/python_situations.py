"""Send from many kinds of Python frames, and note what the interpreter itself says of the frames of each send.

Runs on CPython 3.8 and later: python_situations.py NOTES PORT REPLACED. It begins when a line comes on standard input,
and ends with the end of that, so that a recorder can read its memory. Each send is on the line that also notes its
frames: function, file and line must all agree. A server on PORT sends each byte back.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Callable

from workload.python_notes import Notes

try:
    import greenlet  # before it is recorded: code that is loaded meanwhile has no name
except ImportError:  # most interpreters lack it
    greenlet = None

NOTES = Notes(sys.argv[1])
PORT = int(sys.argv[2])
REPLACED = int(sys.argv[3])  # how often a code object replaces another one of the same size
PAUSE_S = 0.001  # enough for a recorder to read some of them before
THREADS = 3
NUMBERS = itertools.count()
REST_OF_REQUEST = b" / HTTP/1.1\r\n\r\n"


def note(situation: str) -> bytes:
    """Note the frames of the caller, and return what it has to send, which is another request each time."""
    request = f"N{next(NUMBERS):07}"  # a method of HTTP/1: of other bytes a capture has nothing
    NOTES.write(situation, request, sys._getframe(1))
    return request.encode() + REST_OF_REQUEST


class Connection:
    """Give the C function `send` of a socket that name, so that no Python frame is below it."""

    def __init__(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", PORT))
        self.send: Callable[[bytes], int] = self.socket.send

    def answered(self) -> None:
        left = 8 + len(REST_OF_REQUEST)
        while left:
            left -= len(self.socket.recv(left))


def plain(c: Connection) -> None:
    c.send(note("plain"))
    c.answered()


class Ünïcode:
    def __init__(self, c: Connection) -> None:
        self.c = c

    def methodé(self) -> None:
        self.c.send(note("unicode"))
        self.c.answered()

    @property
    def prop(self) -> None:
        return (lambda: in_lambda(self.c))()


def in_lambda(c: Connection) -> None:
    c.send(note("property and lambda"))
    c.answered()


def recursion(n: int, c: Connection) -> None:
    if n:
        recursion(n - 1, c)
        return
    c.send(note("recursion"))
    c.answered()


def generator(c: Connection) -> Iterator[None]:
    for _ in range(2):
        c.send(note("generator"))
        c.answered()
        yield


def outer_generator(c: Connection) -> Iterator[None]:
    yield from generator(c)


def key(c: Connection) -> Callable[[int], int]:
    def inner(x: int) -> int:
        if x == 2:
            c.send(note("through C: sorted(key=)"))
            c.answered()
        return x

    return inner


async def leaf(c: Connection) -> None:
    c.send(note("coroutine"))
    c.answered()
    await asyncio.sleep(0)
    c.send(note("coroutine, resumed"))
    c.answered()


async def middle(c: Connection) -> None:
    return await leaf(c)


async def async_generator(c: Connection) -> AsyncIterator[None]:
    c.send(note("async generator"))
    c.answered()
    yield


async def task(c: Connection) -> None:
    await asyncio.gather(middle(c), middle(c))
    async for _ in async_generator(c):
        pass


def in_thread() -> None:
    c = Connection()
    plain(c)
    recursion(3, c)


class Special:
    def __init__(self, c: Connection) -> None:
        c.send(note("__init__"))
        c.answered()

    def __call__(self, c: Connection) -> None:
        c.send(note("__call__"))
        c.answered()


class InInit:
    """Python 3.13 calls this __init__, once it is specialized, through a frame of its own."""

    def __init__(self, c: Connection) -> None:
        plain(c)


def class_body(c: Connection) -> None:
    class Body:
        c.send(note("class body"))
        c.answered()


def comprehension(c: Connection) -> list[int]:
    return [answer(c) for _ in (1,)]


def answer(c: Connection) -> int:
    c.send(note("comprehension"))
    c.answered()
    return 1


def handler(c: Connection) -> None:
    try:
        raise KeyError
    except KeyError:
        c.send(note("exception handler"))
        c.answered()


def decorated(function: Callable[[Connection], None]) -> Callable[[Connection], None]:
    def wrapper(c: Connection) -> None:
        return function(c)

    return wrapper


@decorated
def under_decorator(c: Connection) -> None:
    c.send(note("decorator"))
    c.answered()


def executed(c: Connection, situation: str, number: int) -> dict[str, Any]:
    """Send from code that has just been compiled, and return what keeps it alive."""
    name = f"made_{number % 3:06}"
    text = f"def {name}(c):\n{chr(10) * (number % 7)}  c.send(note({situation!r}))\n  c.answered()\n"
    made: dict[str, Any] = {"note": note}
    exec(compile(text, f"<made {number % 5:06}>", "exec"), made)
    made[name](c)
    return made


def in_greenlets(c: Connection) -> None:
    """Send from greenlets, where the package is installed: one that began another, and the other, in turn."""
    if greenlet is None:
        return

    def inner() -> None:
        c.send(note("greenlet, inner"))
        c.answered()
        outer.switch()
        plain(c)

    def outermost() -> None:
        other = greenlet.greenlet(inner)
        recursion(3, c)
        other.switch()
        c.send(note("greenlet, after a switch"))
        c.answered()
        other.switch()

    outer = greenlet.greenlet(outermost)
    outer.switch()


def one_round(c: Connection) -> dict[str, Any]:
    plain(c)
    unicode = Ünïcode(c)
    unicode.methodé()
    unicode.prop  # noqa: B018 (it sends)
    for n in (1, 10, 40, 100):
        recursion(n, c)
    list(outer_generator(c))
    sorted([3, 2, 1], key=key(c))
    list(map(lambda x: plain(c), [1]))  # noqa: C417 (through C)
    Special(c)(c)
    for _ in range(8):
        InInit(c)
    class_body(c)
    comprehension(c)
    handler(c)
    under_decorator(c)
    alive = executed(c, "exec", 0)
    in_greenlets(c)
    asyncio.new_event_loop().run_until_complete(task(c))
    threads = [threading.Thread(target=in_thread) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return alive


def main() -> None:
    sys.stdin.readline()
    c = Connection()
    alive = one_round(c)
    for number in range(REPLACED):
        made = executed(c, "exec, replaced", number)
        time.sleep(PAUSE_S)
        made.clear()  # frees the code: the next one is made in its place
    NOTES.close()
    print("noted", flush=True)
    sys.stdin.read()
    alive.clear()


main()
