"""Check that the listening ports are those that ss shows in each network namespace, and that what lacks is said."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from httprec import tuning
from httprec.listeners import find_listeners
from support.programs import running
from workload.waiting import wait_until

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LISTENS, ESTABLISHED = "0A", "01"
# Listens with IPv4, with IPv6, with both on one port, and not with TCP; and has connections.
SERVER = """
import socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
v4 = socket.create_server(("127.0.0.1", 0))
v6 = socket.create_server(("::1", 0), family=socket.AF_INET6)
both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
bound = socket.socket()
bound.bind(("127.0.0.1", 0))
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
connections = [socket.create_connection(v4.getsockname()) for _ in range(5)]
print("ready", flush=True)
sys.stdin.read()
"""


def line(number: int, port: int, state: str = LISTENS, address: str = "0100007F") -> str:
    rest = "00000000:00000000 00:00000000 00000000     0        0 21 1 0000000000000000 100 0 0 10 0"
    return f"{number:4}: {address}:{port:04X} {'0' * len(address)}:0000 {state} {rest}".ljust(149) + "\n"


class Proc:
    """Make a folder that looks like /proc. The file that stands for a namespace has its inode."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "proc"
        (self.folder / "sys").mkdir(parents=True)
        (folder / "namespaces").mkdir()
        self._namespaces = folder / "namespaces"

    def add(self, pid: str, name: str, tcp: str | None, tcp6: str | None = HEADER) -> Path:
        process = self.folder / pid
        (process / "ns").mkdir(parents=True)
        (process / "net").mkdir()
        (process / "task").mkdir()
        (self._namespaces / name).touch()
        os.link(self._namespaces / name, process / "ns" / "net")
        for table, text in (("tcp", tcp), ("tcp6", tcp6)):
            if text is not None:
                (process / "net" / table).write_text(text)
        return process

    def found(self) -> dict[str, set[int]]:
        """Return the ports by the name of their namespace. Nothing may be left out."""
        ports, left_out = self.incomplete()
        assert not left_out
        return ports

    def incomplete(self) -> tuple[dict[str, set[int]], list[str]]:
        """Return the same, and what was left out."""
        names = {path.stat().st_ino: path.name for path in self._namespaces.iterdir()}
        ports, left_out = find_listeners(str(self.folder))
        found: dict[str, set[int]] = {names[namespace]: set() for namespace, _ in ports}
        for namespace, port in ports:
            found[names[namespace]].add(port)
        return found, list(left_out)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


@pytest.fixture
def server() -> Iterator[subprocess.Popen[str]]:
    if os.geteuid() != 0:
        pytest.skip("not root: cannot make a network namespace")
    with running("unshare", "--net", sys.executable, "-c", SERVER) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process


def test_the_ports_of_another_network_namespace_are_those_that_ss_shows(server: subprocess.Popen[str]) -> None:
    shown = subprocess.run(
        ["nsenter", f"--net=/proc/{server.pid}/ns/net", "ss", "-Hltn"], check=True, capture_output=True, text=True
    ).stdout
    expected = {int(port) for port in re.findall(r"^LISTEN +\d+ +\d+ +\S+:(\d+) ", shown, re.MULTILINE)}
    namespace = os.stat(f"/proc/{server.pid}/ns/net").st_ino
    found = find_listeners()
    assert len(expected) == 3
    assert {port for number, port in found.ports if number == namespace} == {0, *expected}
    assert not found.left_out


def test_our_own_ports_are_found_with_our_own_namespace() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = os.stat("/proc/self/ns/net").st_ino, listener.getsockname()[1]
        assert ours in find_listeners().ports
    assert ours not in find_listeners().ports


def test_a_thread_keeps_the_namespace_of_a_process_whose_leader_has_ended() -> None:
    """Of such a process /proc/PID/ns/net is gone, but not that of its thread."""
    if os.geteuid() != 0:
        pytest.skip("not root: cannot make a network namespace")
    code = (
        "import ctypes, threading, sys, time\n"
        f"{SERVER.replace('sys.stdin.read()', '')}"
        "threading.Thread(target=sys.stdin.read).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    with running("unshare", "--net", sys.executable, "-c", code) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        wait_until("the leader to end", lambda: not os.path.exists(f"/proc/{process.pid}/ns/net"))
        (thread,) = (tid for tid in os.listdir(f"/proc/{process.pid}/task") if int(tid) != process.pid)
        namespace = os.stat(f"/proc/{process.pid}/task/{thread}/ns/net").st_ino
        assert len({port for number, port in find_listeners().ports if number == namespace}) == 4


def test_only_listening_sockets_count(proc: Proc) -> None:
    tcp = HEADER + line(0, 80) + line(1, 65535) + line(2, 443, ESTABLISHED)
    tcp6 = HEADER + line(0, 80, address="0" * 32) + line(1, 8080, address="0" * 32)
    proc.add("101", "host", tcp, tcp6)
    assert proc.found() == {"host": {0, 80, 65535, 8080}}


def test_a_namespace_without_ports_is_known_too(proc: Proc) -> None:
    """All connections there are those of clients."""
    proc.add("101", "host", HEADER)
    assert proc.found() == {"host": {0}}


def test_a_kernel_without_ipv6_has_one_table(proc: Proc) -> None:
    proc.add("101", "host", HEADER + line(0, 80), None)
    assert proc.found() == {"host": {0, 80}}


def test_a_namespace_is_read_from_another_process_if_the_first_has_ended(proc: Proc) -> None:
    proc.add("101", "pod", None, None)  # ended after its namespace was seen
    (proc.add("102", "pod", None, None) / "ns" / "net").unlink()
    proc.add("103", "pod", HEADER + line(0, 80))
    assert proc.found() == {"pod": {0, 80}}


def test_namespaces_with_equal_ports_are_told_apart(proc: Proc) -> None:
    proc.add("101", "pod", HEADER + line(0, 80))
    proc.add("102", "pod", HEADER + line(0, 80))
    proc.add("103", "other", HEADER + line(0, 80))
    assert proc.found() == {"pod": {0, 80}, "other": {0, 80}}


def test_what_may_not_be_read_is_said(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    proc.add("101", "a", HEADER + line(0, 80))
    proc.add("102", "b", HEADER + line(0, 81))
    same = proc.add("103", "a", None)  # in a namespace that is known from another process
    os.link(proc.folder / "101" / "net" / "tcp", same / "net" / "tcp")
    stat = os.stat

    def guarded(path: str | bytes | int, **options: bool) -> os.stat_result:
        if str(path).endswith(("/102/ns/net", "/103/ns/net")):
            raise PermissionError
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", guarded)
    assert proc.incomplete() == ({"a": {0, 80}}, ["processes whose network namespace may not be read (1)"])


@pytest.fixture
def four(proc: Proc) -> Proc:
    """Four namespaces, with five processes; each has nine listening ports."""
    table = HEADER + "".join(line(number, 1 + number) for number in range(9))
    for pid, name in (("101", "a"), ("102", "b"), ("103", "c"), ("104", "c"), ("105", "d")):
        proc.add(pid, name, table)
    return proc


@pytest.mark.parametrize(
    ("bounds", "namespaces"),
    [
        ({}, 4),
        ({"MAX_LISTENERS": 39}, 3),
        ({"MAX_LISTENERS": 20}, 2),
        ({"MAX_NAMESPACES": 3}, 3),
        ({"MAX_SOCKET_TABLE": 9 * len(line(0, 1))}, 0),
    ],
)
def test_a_namespace_that_does_not_fit_is_left_out_as_a_whole_and_said(
    four: Proc, monkeypatch: pytest.MonkeyPatch, bounds: dict[str, int], namespaces: int
) -> None:
    """The kernel takes a port that it does not find in a namespace that it finds for that of a client."""
    for name, value in bounds.items():
        monkeypatch.setattr(tuning, name, value)
    found, left_out = four.incomplete()
    assert len(found) == namespaces and all(ports == set(range(10)) for ports in found.values())
    counts = [re.sub(r"network namespaces .* \((\d+)\)", r"\1", text) for text in left_out]
    assert counts == ([str(4 - namespaces)] if namespaces < 4 else [])


@pytest.mark.parametrize("table", ["", "\0" * 10_000, HEADER + "   0: nonsense\n", HEADER + line(0, 80)[:20]])
def test_a_namespace_whose_table_is_none_is_left_out(proc: Proc, table: str) -> None:
    proc.add("101", "host", HEADER + line(0, 80), table)
    found, left_out = proc.incomplete()
    assert not found and len(left_out) == 1
