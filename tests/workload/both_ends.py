"""Make calls of which each end sees the bytes in other portions than the other end sends them, and print what is known.

It prints a line when it is ready, makes its calls when it reads a line, and prints as JSON, for each scenario, the port
of the client and TCP's own sequence numbers (TCP_QUEUE_SEQ, tcp(7) and CRIU) of the first bytes of its requests and
responses, where it knows them: `null` where there is none.

Each scenario has a connection, a client and a server, which are threads. Where one end must not read before the other
has sent all, it waits for that.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

SLOW = 0.4  # seconds that each answer takes
CERTIFICATE = Path(__file__).with_name("localhost.pem")
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21  # include/uapi/linux/tcp.h
SEND_QUEUE, REPAIR_OFF_WITHOUT_PROBE = 2, -1
GET = b"GET /an/item HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /item HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
OK = b"HTTP/1.1 200 Yes\r\nContent-Length: 2\r\n\r\nok"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Number = Optional[int]


def next_sequence_number(sock: socket.socket) -> int:
    """Return the sequence number of the next byte that the socket sends, as TCP itself gives it to CRIU."""
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND_QUEUE)
        number: int = struct.unpack("I", sock.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, 4))[0]
        return number
    finally:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, REPAIR_OFF_WITHOUT_PROBE)


class End:
    """One end of a connection. `sent` is set when it has sent all that the other end waits for."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.sent = sock, threading.Event()
        self.numbers: list[Number] = []
        self.other = self

    def begin(self, data: bytes) -> None:
        """Send the first bytes of a request or response, and note their sequence number."""
        self.numbers.append(next_sequence_number(self.sock))
        self.sock.sendall(data)

    def answer(self, data: bytes) -> None:
        time.sleep(SLOW)
        self.begin(data)

    def wait(self) -> None:
        """Wait until the other end has sent what it has to send, and its last byte has come."""
        self.other.sent.wait()
        self.other.sent.clear()

    def wait_for_end(self) -> None:
        """Wait until the end of file has come, too."""
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        poll.poll()

    def receive(self, end: bytes, size: int = 65536) -> None:
        data = b""
        while not data.endswith(end):
            part = self.sock.recv(size)
            if not part:
                return
            data += part


Side = Callable[[End], None]
SCENARIOS: dict[str, tuple[Side, Side]] = {}


def against(server: Side) -> Callable[[Side], Side]:
    def register(client: Side) -> Side:
        SCENARIOS[client.__name__] = (client, server)
        return client

    return register


def answers_three(end: End) -> None:
    for _ in range(3):
        end.receive(b"\r\n\r\n")
        end.answer(OK)


@against(answers_three)
def keep_alive(end: End) -> None:
    for _ in range(3):
        end.begin(GET)
        end.receive(b"ok")


def reads_one_byte_first(end: End) -> None:
    for _ in range(2):
        end.sock.recv(1)
        end.receive(b"\r\n\r\n")
        end.answer(OK)


@against(reads_one_byte_first)
def one_byte(end: End) -> None:
    for _ in range(2):
        end.begin(GET)
        end.receive(b"ok", size=1)


def answers_in_pieces(end: End) -> None:
    end.receive(b"a body 1\n")
    end.answer(OK[:-2])
    end.sent.set()
    end.wait()
    end.sock.sendall(b"ok")
    end.receive(b"\r\n\r\n")
    end.answer(OK)


@against(answers_in_pieces)
def pieces(end: End) -> None:
    end.begin(POST)
    end.sock.sendall(b"a body 1\n")
    end.wait()
    end.receive(b"\r\n\r\n")
    end.sent.set()
    end.receive(b"ok")
    end.begin(GET)
    end.receive(b"ok")


def receives_the_end_with_the_request(end: End) -> None:
    end.wait_for_end()
    end.receive(b"never")
    end.answer(OK)
    end.sock.close()


@against(receives_the_end_with_the_request)
def end_of_file(end: End) -> None:
    end.begin(GET)
    end.sock.shutdown(socket.SHUT_WR)
    end.wait_for_end()
    end.receive(b"never")


def continues(end: End) -> None:
    end.wait()
    end.receive(b"\r\n\r\n")
    end.sock.sendall(CONTINUE)
    end.sent.set()
    end.receive(b"a body 1\n")
    end.answer(OK)
    end.sent.set()


@against(continues)
def interim(end: End) -> None:
    end.begin(POST)
    end.sent.set()
    end.wait()
    end.sock.sendall(b"a body 1\n")
    end.wait()
    end.receive(b"ok")


def answers_what_has_come(end: End) -> None:
    end.wait()
    end.receive(b"\r\n\r\n")
    end.answer(OK)


@against(answers_what_has_come)
def proxied(end: End) -> None:
    end.sock.sendall(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n")
    end.begin(GET)
    end.sent.set()
    end.receive(b"ok")


def closes(end: End) -> None:
    end.receive(b"\r\n\r\n")
    time.sleep(SLOW)
    end.numbers.append(None)
    end.sock.close()


@against(closes)
def unanswered(end: End) -> None:
    end.begin(GET)
    end.receive(b"ok")


class Tls:
    """TLS of one end as programs do it that take all that has come at once: asyncio, Go, Java."""

    def __init__(self, end: End, server: bool, version: ssl.TLSVersion) -> None:
        purpose = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
        context = ssl.SSLContext(purpose)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        if server:
            context.load_cert_chain(CERTIFICATE)
        self.end, self.received, self.to_send = end, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.received, self.to_send, server_side=server)

    def flush(self) -> None:
        if self.to_send.pending:
            self.end.sock.sendall(self.to_send.read())

    def do(self, action: Callable[[], Any]) -> Any:
        while True:
            try:
                return action()
            except ssl.SSLWantReadError:
                self.flush()
                self.received.write(self.end.sock.recv(65536))

    def begin(self, data: bytes) -> None:
        self.session.write(data)
        self.end.begin(self.to_send.read())

    def answer(self, data: bytes) -> None:
        time.sleep(SLOW)
        self.begin(data)

    def receive(self) -> None:
        self.do(lambda: self.session.read(65536))


def tls_server(version: ssl.TLSVersion) -> Side:
    def serve(end: End) -> None:
        tls = Tls(end, True, version)
        if version is ssl.TLSVersion.TLSv1_3:
            with_hello(tls)
            end.wait()  # for its Finished and its request
        tls.do(tls.session.do_handshake)
        tls.flush()  # tickets, or its own Finished
        tls.receive()
        tls.answer(OK)
        end.sent.set()
        tls.receive()
        tls.answer(OK)

    return serve


def with_hello(tls: Tls) -> None:
    """Receive the first message of the handshake and answer it."""
    try:
        tls.received.write(tls.end.sock.recv(65536))
        tls.session.do_handshake()
    except ssl.SSLWantReadError:
        tls.flush()


def tls_client(version: ssl.TLSVersion) -> Side:
    def ask(end: End) -> None:
        tls = Tls(end, False, version)
        tls.do(tls.session.do_handshake)
        tls.flush()
        tls.begin(GET)
        end.sent.set()
        end.wait()  # for tickets and the response
        tls.receive()
        tls.begin(GET)
        tls.receive()

    return ask


for _version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    SCENARIOS[_version.name] = (tls_client(_version), tls_server(_version))


def made(sides: tuple[Side, Side]) -> dict[str, Any]:
    client, server = sides
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asking = End(socket.create_connection(listener.getsockname()))
        answering = End(listener.accept()[0])
    asking.other, answering.other = answering, asking
    port = asking.sock.getsockname()[1]
    thread = threading.Thread(target=server, args=(answering,))
    thread.start()
    client(asking)
    thread.join()
    for end in (asking, answering):
        end.sock.close()
    return {"port": port, "requests": asking.numbers, "responses": answering.numbers}


def main() -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        own = dict(zip(SCENARIOS, pool.map(made, SCENARIOS.values())))
    print(json.dumps(own), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
