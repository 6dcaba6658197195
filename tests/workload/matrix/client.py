"""Ask for each path that standard input names, one after the other, and print when it was asked for and when the whole
answer was there, by CLOCK_MONOTONIC.

    python3 client.py LIBRARY URL PROTOCOL CONNECTIONS

The library is requests, aiohttp, httpx or grpcio, the distribution's.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEY = Path(__file__).parents[1] / "localhost.pem"
Get = Callable[[str], Any]


def with_requests(base: str, protocol: str, is_kept: bool) -> Get:
    import requests  # noqa: PLC0415 - each client has only its own library
    import urllib3  # noqa: PLC0415

    urllib3.disable_warnings()
    session = requests.Session()

    def get(path: str) -> None:
        (session if is_kept else requests).get(base + path, verify=False).raise_for_status()

    return get


def with_httpx(base: str, protocol: str, is_kept: bool) -> Get:
    import httpx  # noqa: PLC0415

    def client() -> Any:
        return httpx.Client(verify=False, http1=protocol == "http1", http2=protocol == "http2", timeout=60)

    kept = client() if is_kept else None

    def get(path: str) -> None:
        used = kept or client()
        used.get(base + path).raise_for_status()
        if not kept:
            used.close()

    return get


def with_grpc(base: str, protocol: str, connections: str) -> Get:
    grpc: Any = importlib.import_module("grpc")  # which has no types

    scheme, _, address = base.partition("://")
    options = [("grpc.use_local_subchannel_pool", 1)]
    trust = grpc.ssl_channel_credentials(KEY.read_bytes())
    for_name = ("grpc.ssl_target_name_override", "localhost")

    def channel() -> Any:
        if scheme == "https":
            return grpc.secure_channel(address, trust, [*options, for_name])
        return grpc.insecure_channel(address, options)

    kept = None if connections == "new" else channel()
    if connections == "ahead":
        grpc.channel_ready_future(kept).result()

    def get(path: str) -> None:
        used = kept or channel()
        if protocol == "unary":
            used.unary_unary(path)(b"")
        else:
            list(used.unary_stream(path)(b""))
        if not kept:
            used.close()

    return get


def told(path: str, t0: int) -> None:
    print(json.dumps({"path": path, "pid": os.getpid(), "t0": t0, "t3": time.monotonic_ns()}), flush=True)


def ask(get: Get) -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        t0 = time.monotonic_ns()
        get(line.strip())
        told(line.strip(), t0)


async def ask_by_aiohttp(base: str, is_kept: bool) -> None:
    import aiohttp  # noqa: PLC0415

    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, force_close=not is_kept)) as session:
        print("ready", flush=True)
        while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            t0 = time.monotonic_ns()
            async with session.get(base + line.strip()) as response:
                await response.read()
            told(line.strip(), t0)


def main(library: str, base: str, protocol: str, connections: str) -> None:
    is_kept = connections != "new"
    if library == "grpcio":
        ask(with_grpc(base, protocol, connections))
    elif library == "aiohttp":
        asyncio.run(ask_by_aiohttp(base, is_kept))
    else:
        ask({"requests": with_requests, "httpx": with_httpx}[library](base, protocol, is_kept))


if __name__ == "__main__":
    main(*sys.argv[1:5])
