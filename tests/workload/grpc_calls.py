"""Make 1,000 gRPC calls in clear text, 100 at a time, of which every tenth is slow.

Print as JSON how long each took by the client's clock, in ns: {"slow": [...], "fast": [...]}.
"""

from __future__ import annotations

import importlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

grpc: Any = importlib.import_module("grpc")  # which has no types
CALLS, AT_ONCE = 1000, 100
SLOW = 0.4  # seconds


def answer(request: bytes, _context: object) -> bytes:
    time.sleep(SLOW if request == b"slow" else 0)
    return b"ok"


def main() -> None:
    methods = {"Ask": grpc.unary_unary_rpc_method_handler(answer)}
    server = grpc.server(ThreadPoolExecutor(AT_ONCE))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary("/test.Test/Ask")

        def timed(number: int) -> tuple[str, int]:
            name = "fast" if number % 10 else "slow"
            began = time.monotonic_ns()
            ask(name.encode())
            return name, time.monotonic_ns() - began

        with ThreadPoolExecutor(AT_ONCE) as pool:
            took = list(pool.map(timed, range(CALLS)))
    server.stop(None)
    print(json.dumps({name: [ns for each, ns in took if each == name] for name in ("slow", "fast")}))


if __name__ == "__main__":
    main()
