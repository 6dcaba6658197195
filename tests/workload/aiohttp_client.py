"""Make calls with aiohttp: one thread, whose tasks share a pool of connections."""

from __future__ import annotations

import asyncio

import aiohttp

from workload.client import PAUSE_S, arguments, start_clock
from workload.ports import HOST, UPSTREAM


async def get_all(paths: list[str], connections: int) -> None:
    waiting = iter(paths)
    pool = aiohttp.TCPConnector(limit=connections)

    async def work() -> None:
        for path in waiting:
            async with session.get(f"http://{HOST}:{UPSTREAM}{path}") as response:
                await response.read()
            await asyncio.sleep(PAUSE_S)

    async with aiohttp.ClientSession(connector=pool) as session:
        await asyncio.gather(*(work() for _ in range(connections)))


if __name__ == "__main__":
    start_clock("aiohttp")
    paths, connections = arguments()
    asyncio.run(get_all(paths, connections))
