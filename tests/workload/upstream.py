"""Serve the upstream with aiohttp, as slowly as the path says. It tells each client, such as nginx, its own port."""

from __future__ import annotations

import asyncio

from aiohttp import web

from workload.plan import delay_ms
from workload.ports import HOST, UPSTREAM

KEEP_ALIVE_S = 600  # connections rest while other clients are at it


async def answer(request: web.Request) -> web.Response:
    await asyncio.sleep(delay_ms(request.path) / 1000)
    peer = request.transport.get_extra_info("peername") if request.transport else ("", 0)
    return web.Response(text=f"{request.path}\n", headers={"X-Client-Port": str(peer[1])})


def main() -> None:
    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    web.run_app(application, host=HOST, port=UPSTREAM, keepalive_timeout=KEEP_ALIVE_S, access_log=None, print=None)


if __name__ == "__main__":
    main()
