"""Make gRPC calls in TLS one after the other over one connection, of which every fourth is slow.

    python3 grpc_in_tls.py [older]

Print as JSON what the client's clock says of each, in ns: [[BEGAN, ENDED, IS_SLOW], ...]. Between two calls the
connection rests, so gRPC's own PINGs and window updates have time to go to and fro. An older connection has made a call
when this prints a line, and goes on when it reads one.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

grpc: Any = importlib.import_module("grpc")  # which has no types
KEY = Path(__file__).with_name("localhost.pem")
SLOW = 0.4  # seconds
REST = 0.25
SIZES = (2, 300, 5_000, 200_000)  # bytes of answers: large ones make gRPC look for the width of the way


def answer(request: bytes, _context: Any) -> bytes:
    slow, size = json.loads(request)
    if slow:
        time.sleep(SLOW)
    return bytes(size)


class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answer calls of every method."""

    def service(self, _details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(answer)


def main(*, is_older: bool) -> None:
    pem = KEY.read_bytes()
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Handlers(),))
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(pem, pem)]))
    server.start()
    made = []
    with grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(pem)) as channel:
        ask = channel.unary_unary("/test.Test/Ask")
        if is_older:
            ask(json.dumps([False, 2]).encode())
            print("ready", flush=True)
            sys.stdin.readline()
        for size in SIZES * 2:
            for slow in (False, False, False, True):
                began = time.monotonic_ns()
                ask(json.dumps([slow, size]).encode())
                made.append((began, time.monotonic_ns(), slow))
                time.sleep(REST)
    server.stop(None)
    print(json.dumps(made))


if __name__ == "__main__":
    main(is_older="older" in sys.argv)
