"""Make calls that end in every possible way, each in a process with its own name, under recorders; as root, in the
guest.

A scenario is a client and a server function over one connected socket each. The client's process is called like the
scenario, the server's the same with an `S` behind, so that their calls are found again by name. What a client saw
by its own clock (CLOCK_MONOTONIC) goes to /tmp/out/seen.json: for each time of each call the two between which the
kernel's must lie, however busy the machine is. The recorders run at the same time: one with fexit and one with
kprobes, which must see the same, and one with process filters.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workload.recorder import recordings
from workload.waiting import wait_until

OUT = "/tmp/out"
REQUEST = b"GET /slow HTTP/1.1\r\nHost: guest\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
SLOW = 0.3  # seconds
SLOW_NS = 300_000_000
CLOSED = 7  # TCP_CLOSE, include/net/tcp_states.h
RECVFROM = "45"  # its number on x86-64
PR_SET_NAME = 15

Side = Callable[[socket.socket], Any]
Between = tuple[int, int]
Own = dict[str, Any]  # Between by the name of a time: t0, t1, t2, t3; "tid": of the thread that receives
SCENARIOS: dict[str, tuple[Side, Side]] = {}


def against(server: Side) -> Callable[[Side], Side]:
    """Register a client function as a scenario, with the server that it talks to."""

    def register(client: Side) -> Side:
        SCENARIOS[client.__name__] = (client, server)
        return client

    return register


def now() -> int:
    return time.monotonic_ns()


def read_request(sock: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        part = sock.recv(65536)
        if not part:
            break
        data += part
    return data


def answers_slowly(sock: socket.socket) -> None:
    while read_request(sock):
        time.sleep(SLOW)
        sock.sendall(RESPONSE)


def never_answers(sock: socket.socket) -> None:
    read_request(sock)
    signal.pause()


def closes_without_answer(sock: socket.socket) -> None:
    read_request(sock)
    time.sleep(SLOW)
    sock.close()


def resets(sock: socket.socket) -> None:
    read_request(sock)
    time.sleep(SLOW)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def answers_in_two_parts(sock: socket.socket) -> None:
    while read_request(sock):
        time.sleep(SLOW)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100005\r\n\r\nhello")
        time.sleep(SLOW)
        sock.sendall(bytes(100000))


def sends_a_file(sock: socket.socket) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 100000)
        file.flush()
        while read_request(sock):
            time.sleep(SLOW)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            os.sendfile(sock.fileno(), file.fileno(), 0, 100000)


def answers_after_end_of_file(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass
    time.sleep(SLOW)
    sock.sendall(RESPONSE)


def answers_and_resets(sock: socket.socket) -> None:
    sock.recv(len(REQUEST))
    time.sleep(SLOW)
    sock.sendall(RESPONSE)
    sock.close()  # with bytes unread


def reads_in_another_thread(sock: socket.socket) -> None:
    """Answer with the ID of the thread that reads."""
    received = []

    def receive() -> None:
        received.append((read_request(sock), threading.get_native_id()))

    while True:
        thread = threading.Thread(target=receive)
        thread.start()
        thread.join()
        request, tid = received.pop()
        if not request:
            return
        time.sleep(SLOW)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n%d" % tid)


def answers_at_once(sock: socket.socket) -> None:
    while read_request(sock):
        sock.sendall(RESPONSE)


def timed(action: Callable[[], Any]) -> Between:
    """Return when an action began and ended."""
    began = now()
    action()
    return began, now()


def send(sock: socket.socket, request: bytes = REQUEST) -> Between:
    return timed(lambda: sock.sendall(request))


def receive(sock: socket.socket) -> Between:
    return timed(lambda: sock.recv(65536))


def call(sock: socket.socket) -> Own:
    """Make one plain call. Its server waits before it answers, ends or resets the connection."""
    t0 = send(sock)
    with contextlib.suppress(ConnectionResetError):
        sock.recv(65536)
    return {"t0": t0, "t2": (t0[0] + SLOW_NS, now())}


@against(answers_slowly)
def plain(sock: socket.socket) -> Any:
    return [call(sock)]


@against(answers_slowly)
def ipv6(sock: socket.socket) -> Any:
    """Make a call over ::1."""
    return [call(sock)]


@against(answers_slowly)
def mapped(sock: socket.socket) -> Any:
    """Make a call over ::ffff:127.0.0.1."""
    return [call(sock)]


@against(answers_slowly)
def abcdefghijklmno(sock: socket.socket) -> Any:
    """Make a call under a name of 15 bytes, the longest that the kernel keeps."""
    return [call(sock)]


@against(answers_slowly)
def keepalive(sock: socket.socket) -> Any:
    """Make two calls on one connection; the pause between them belongs to neither."""
    calls = [call(sock)]
    time.sleep(1)
    return [*calls, call(sock)]


@against(never_answers)
def in_flight(sock: socket.socket) -> Any:
    report([{"t0": send(sock)}])
    sock.recv(65536)


@against(closes_without_answer)
def eof(sock: socket.socket) -> Any:
    return [call(sock)]


@against(resets)
def reset(sock: socket.socket) -> Any:
    return [call(sock)]


@against(never_answers)
def closed(sock: socket.socket) -> Any:
    """Close the connection before the answer comes."""
    t0 = send(sock)
    time.sleep(SLOW)
    return [{"t0": t0, "t2": timed(sock.close)}]


@against(answers_slowly)
def peek(sock: socket.socket) -> Any:
    """Look at the response before taking it, which does not end the call."""
    t0 = send(sock)
    sock.recv(65536, socket.MSG_PEEK)
    time.sleep(SLOW)
    return [{"t0": t0, "t2": receive(sock)}]


@against(answers_slowly)
def nonblocking(sock: socket.socket) -> Any:
    """Try to receive before there is a response, which is no response."""
    sock.setblocking(False)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    t0 = send(sock)
    while True:
        try:
            return [{"t0": t0, "t2": receive(sock)}]
        except BlockingIOError:
            poll.poll(50)


@against(answers_slowly)
def two_threads(sock: socket.socket) -> Any:
    """Send in one thread while another has been receiving all the time."""
    received = []

    def wait_for_answer() -> None:
        sock.recv(65536)
        received.append(now())

    thread = threading.Thread(target=wait_for_answer)
    thread.start()
    system_call = Path(f"/proc/self/task/{thread.native_id}/syscall")
    wait_until("the other thread to receive", lambda: system_call.read_text().split()[0] == RECVFROM)
    t0 = send(sock)
    thread.join()
    return [{"t0": t0, "t2": (t0[0] + SLOW_NS, received[0]), "tid": thread.native_id}]


@against(reads_in_another_thread)
def two_server(sock: socket.socket) -> Any:
    """Read the request in one thread and answer it in another."""
    t0 = send(sock)
    response = sock.recv(65536)
    return [{"t0": t0, "t2": (t0[0] + SLOW_NS, now()), "tid": int(response.split(b"\r\n\r\n")[1])}]


@against(answers_at_once)
def hasty(sock: socket.socket) -> Any:
    """Make more calls that are not slow than there are stack slots."""
    return [call(sock) for _ in range(100)]


@against(answers_slowly)
def slow_upload(sock: socket.socket) -> Any:
    """Make a call whose request takes a while to send."""
    t0 = send(sock, REQUEST[:10])
    time.sleep(SLOW)
    t1 = send(sock, REQUEST[10:])
    sock.recv(65536)
    return [{"t0": t0, "t1": t1, "t2": (t1[0] + SLOW_NS, now())}]


def receive_all(sock: socket.socket, t0: Between, size: int, takes_ns: int) -> Own:
    """Make a call whose response has this size, head and body, and takes at least this long."""
    got = len(sock.recv(65536))
    t2 = t0[0] + SLOW_NS, now()
    while got < size:
        before = now()
        got += len(sock.recv(65536))
    return {"t0": t0, "t2": t2, "t3": (max(before, t2[0] + takes_ns), now())}


@against(answers_in_two_parts)
def slow_download(sock: socket.socket) -> Any:
    """Make a call whose response goes on after t2."""
    return [receive_all(sock, send(sock), 43 + 100005, SLOW_NS)]


@against(sends_a_file)
def sendfile(sock: socket.socket) -> Any:
    return [receive_all(sock, send(sock), 43 + 100000, 0)]


@against(answers_after_end_of_file)
def half_closed(sock: socket.socket) -> Any:
    """Shut down sending after the request, which does not end the call."""
    t0 = send(sock)
    sock.shutdown(socket.SHUT_WR)
    sock.recv(65536)
    return [{"t0": t0, "t2": (t0[0] + SLOW_NS, now())}]


def wait_until_closed(sock: socket.socket) -> None:
    """Wait until the peer has ended the connection."""

    def state() -> int:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]

    wait_until("the connection to be closed", lambda: state() == CLOSED)


@against(answers_after_end_of_file)
def late_reader(sock: socket.socket) -> Any:
    """Read the response when TCP has already ended the connection."""
    t0 = send(sock)
    sock.shutdown(socket.SHUT_WR)
    wait_until_closed(sock)
    return [{"t0": t0, "t2": receive(sock)}]


@against(answers_and_resets)
def reset_reader(sock: socket.socket) -> Any:
    """Leave the response in the queue until the peer resets the connection."""
    t0 = send(sock, REQUEST + REQUEST)
    wait_until_closed(sock)
    return [{"t0": t0, "t2": receive(sock)}]


@against(answers_slowly)
def older(sock: socket.socket) -> Any:
    """Use a connection that is in the middle of a call when the recorders start."""
    sock.sendall(REQUEST)
    os.read(0, 1)  # until the recorders run
    sock.recv(65536)
    return [call(sock)]


def report(seen: Any) -> None:
    os.write(1, json.dumps(seen).encode() + b"\n")


def set_name(name: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_NAME, name[:15].encode(), 0, 0, 0)


def family(name: str) -> tuple[int, str]:
    if name == "ipv6":
        return socket.AF_INET6, "::1"
    return (socket.AF_INET6, "::ffff:127.0.0.1") if name == "mapped" else (socket.AF_INET, "127.0.0.1")


def server_main(name: str) -> None:
    """Print the server's port, and serve one connection after the other."""
    kind, address = family(name)
    listener = socket.socket(kind, socket.SOCK_STREAM)
    listener.bind((address, 0))
    listener.listen()
    print(listener.getsockname()[1], flush=True)
    set_name(name[:14] + "S")
    with listener.accept()[0] as connection:
        if name == "older":
            read_request(connection)
            os.read(0, 1)
            time.sleep(SLOW)
            connection.sendall(RESPONSE)
        SCENARIOS[name][1](connection)
    stay()


def client_main(name: str, port: int) -> None:
    set_name(name)
    kind, address = family(name)
    sock = socket.socket(kind, socket.SOCK_STREAM)
    sock.connect((address, port))
    print(sock.getsockname()[1], flush=True)
    with sock:
        report(SCENARIOS[name][0](sock))
    report("closed")
    stay()


def stay() -> None:
    """Live on, so that even on a busy machine a recorder finds the process whose call it has seen."""
    sys.stdin.read()


class Pair:
    """Hold the two processes of a scenario."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.server, self.port = self._start("server", name)
        self.client, self.local_port = self._start("client", name, str(self.port))

    @staticmethod
    def _start(*arguments: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, __file__, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    def go(self) -> None:
        for process in (self.client, self.server):
            assert process.stdin is not None
            process.stdin.write("x")
            process.stdin.flush()

    def result(self) -> dict[str, Any]:
        assert self.client.stdout is not None
        return {
            "calls": json.loads(self.client.stdout.readline()),
            "client_pid": self.client.pid,
            "server_pid": self.server.pid,
            "client_port": self.local_port,
            "server_port": self.port,
        }

    def wait_until_closed(self) -> None:
        assert self.client.stdout is not None
        self.client.stdout.readline()

    def end(self) -> None:
        for process in (self.client, self.server):
            process.kill()
            process.wait()


RECORDERS = {
    "fexit": ["--probes", "fexit", "--recv-stack", "--stack-slots", "8"],
    "kprobe": ["--probes", "kprobe", "--recv-stack", "--stack-slots", "8"],
    "tracepoint": ["--probes", "tracepoint", "--recv-stack", "--stack-slots", "8"],
    "named": ["--stack", "fp", "--recv-stack", "-p", "abcdefghijklmno", "-p", "k?ep[!b-z]liv*", "-p", "in_fl?ght*"],
}
EVERYWHERE = ("fexit", "kprobe", "named")  # tracepoints that show enough came with Linux 6.16


def main(recorders: Sequence[str], scenarios: Sequence[str]) -> int:
    early = [Pair(name) for name in scenarios if name == "older"]
    seen, waiting = {}, list(early)
    with recordings({Path(f"{OUT}/{name}.cap"): RECORDERS[name] for name in recorders}):
        for pair in early:
            pair.go()
            seen[pair.name] = pair.result()
        for name in scenarios:
            if name != "older":
                pair = Pair(name)
                seen[name] = pair.result()
                waiting.append(pair)
                if name != "in_flight":
                    pair.wait_until_closed()
        time.sleep(SLOW)
    for pair in waiting:
        pair.end()
    with open(f"{OUT}/seen.json", "w") as file:
        json.dump(seen, file)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["server"]:
        server_main(sys.argv[2])
    elif sys.argv[1:2] == ["client"]:
        client_main(sys.argv[2], int(sys.argv[3]))
    else:
        chosen = [names.split(",") for names in sys.argv[1:]]
        sys.exit(main(*(chosen or (EVERYWHERE, list(SCENARIOS)))))
