"""Make 1,000 gRPC calls in clear text, 100 at a time, of which every tenth is slow.

Print as JSON how long each took by the client's clock, in ns, and path and status of each slow one, as the client knows
them: {"slow": [...], "fast": [...], "asked": [[PATH, STATUS], ...]}. What is planted in metadata is a secret.
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
KINDS = {"slow": False, "fast": True}


STATUSES = (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND)
SECRETS = (
    ("authorization", "Bearer planted-authorization"),
    ("cookie", "session=planted-cookie"),
    ("x-api-key", "planted-key"),
)


def answer(request: bytes, context: Any) -> bytes:
    number = int(request)
    context.send_initial_metadata((("set-cookie", "planted-set-cookie"),))
    if number % 10:
        return b"planted-fast"
    time.sleep(SLOW)
    context.set_code(STATUSES[number // 10 % len(STATUSES)])
    context.set_details("planted-details")
    return b"planted-slow"


class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answer calls of every method."""

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(answer)


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(AT_ONCE))
    server.add_generic_rpc_handlers((Handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:

        def timed(number: int) -> tuple[int, int, str, int]:
            path = f"/test.Test/Ask{number}"
            ask = channel.unary_unary(path)
            began = time.monotonic_ns()
            try:
                ask(str(number).encode(), metadata=SECRETS)
                status = 0
            except grpc.RpcError as error:
                status = error.code().value[0]
            return number, time.monotonic_ns() - began, path, status

        with ThreadPoolExecutor(AT_ONCE) as pool:
            made = list(pool.map(timed, range(CALLS)))
    server.stop(None)
    took = {name: [ns for number, ns, *_ in made if bool(number % 10) == fast] for name, fast in KINDS.items()}
    print(json.dumps({**took, "asked": [[path, status] for number, _, path, status in made if not number % 10]}))


if __name__ == "__main__":
    main()
