"""Make calls over a network that is slow and loses packets, and print what both ends' own clocks and TCP_INFO say.

The network is a TUN device in a network namespace of its own, which whoever starts this gives it. Each packet comes
back DELAY_S later with its two addresses exchanged, so that what is sent to FAR arrives at NEAR as if from FAR; the
checksums stay right (RFC 1071: a sum does not depend on the order). The first packet with each text of LOST is lost.

It prints a line when it is ready, makes its calls when it reads a line, and prints them as JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

DELAY_S = 0.03
NEAR, FAR = "10.9.0.1", "10.9.0.2"
LOST = {b"GET /lost-request", b"X-Part: lost-answer", b"X-Part: lost-part"}
CERTIFICATE = Path(__file__).with_name("localhost.pem")
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # include/uapi/linux/if_tun.h
# Offsets in struct tcp_info, include/uapi/linux/tcp.h.
TCP_INFO = {"round_trip": 68, "retransmitted": 100, "segments": 136, "out_of_order": 224}
HEAD = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Part: {}\r\n\r\n"


def reading(sock: socket.socket) -> dict[str, int]:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return {name: struct.unpack_from("=I", info, offset)[0] for name, offset in TCP_INFO.items()}


def open_network() -> int:
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"far", IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "address", "add", f"{NEAR}/24", "dev", "far"], check=True)
    subprocess.run(["ip", "link", "set", "far", "up"], check=True)
    return device


def reflect(device: int) -> None:
    on_their_way = queue.SimpleQueue[tuple[float, bytes]]()

    def deliver() -> None:
        while True:
            due, packet = on_their_way.get()
            time.sleep(max(due - time.monotonic(), 0))
            os.write(device, packet)

    threading.Thread(target=deliver, daemon=True).start()
    while True:
        packet = os.read(device, 65536)
        found = {text for text in LOST if text in packet}
        LOST.difference_update(found)
        if packet[0] >> 4 == 4 and not found:
            on_their_way.put((time.monotonic() + DELAY_S, packet[:12] + packet[16:20] + packet[12:16] + packet[20:]))


def serve(listener: socket.socket, tls: ssl.SSLContext | None, seen: list[dict[str, Any]]) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.monotonic_ns()
        with tls.wrap_socket(connection, server_side=True) if tls else connection as sock:
            handshake_ns = time.monotonic_ns() - began
            while request := sock.recv(4096):
                path = request.split()[1].decode()
                seen.append({"path": path, "handshake_ns": handshake_ns, **answer(sock, path)})


def answer(sock: socket.socket, path: str) -> dict[str, Any]:
    before = reading(sock)
    if path != "/lost-part":
        time.sleep(0.1)
    sock.sendall(HEAD.format(path[1:]).encode())
    while path == "/lost-part" and reading(sock)["retransmitted"] == before["retransmitted"]:
        time.sleep(0.01)
    sock.sendall(b"ok")
    return {"before": before, "after": reading(sock)}


def ask(sock: socket.socket, path: str) -> dict[str, Any]:
    before = reading(sock)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: far\r\n\r\n".encode())
    response = sock.recv(4096)
    after = reading(sock)
    while not response.endswith(b"ok"):
        response += sock.recv(4096)
    return {"path": path, "before": before, "after": after}


def connect(port: int) -> tuple[socket.socket, int]:
    sock = socket.socket()
    began = time.monotonic_ns()
    sock.connect((FAR, port))
    return sock, time.monotonic_ns() - began


def clear_calls(port: int) -> list[dict[str, Any]]:
    sock, connect_ns = connect(port)
    with sock:
        calls = [ask(sock, path) for path in ("/first", "/lost-request", "/lost-answer", "/lost-part")]
    return [{**call, "connect_ns": connect_ns} for call in calls]


def tls_call(port: int, version: ssl.TLSVersion) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    context.minimum_version = context.maximum_version = version
    sock, connect_ns = connect(port)
    began = time.monotonic_ns()
    with context.wrap_socket(sock, server_hostname="localhost") as tls:
        handshake_ns = time.monotonic_ns() - began
        time.sleep(0.2)  # a connection that was opened ahead
        return {**ask(tls, f"/{version.name}"), "connect_ns": connect_ns, "handshake_ns": handshake_ns}


def main() -> None:
    device = open_network()
    threading.Thread(target=reflect, args=(device,), daemon=True).start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    seen: list[dict[str, Any]] = []
    ports = []
    for tls in (None, context):
        listener = socket.create_server((NEAR, 0))
        ports.append(listener.getsockname()[1])
        threading.Thread(target=serve, args=(listener, tls, seen), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.readline()
    asked = clear_calls(ports[0])
    asked += [tls_call(ports[1], version) for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)]
    print(json.dumps({"client": asked, "server": seen, "round_trip_ns": 2 * DELAY_S * 1e9}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
