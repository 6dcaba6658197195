"""Make a capture of a shop: each order is one tree, in which the shop asks for every item, then for the payment, and at
the end tells two others at once."""

from __future__ import annotations

from dataclasses import replace

from httpcapture import Role
from support.head_records import Asked, head_records
from support.made_trees import SERVER_PORT, Made, World
from support.recordings import MS, Row, capture

ITEMS = 20
PAID_FROM_NS, TOLD_FROM_NS = 100 * MS, 12 * MS  # how long the calls for a payment and for telling others take at least


def shop_capture(orders: int = 6, host: str = "web-1") -> bytes:
    """Return the capture. Order N takes 500 + N ms; what the payment waits for was not recorded at its other end."""
    world = World(1)
    for number in range(orders):
        world.record(_order(number * 1000 * MS, number))
    rows = [row for row in world.rows if row.process != b"tier2"]
    calls = list(map(_asked, rows))
    return capture([call.row for call in calls], head_records(calls), threshold_ns=0, host=host)


def _order(at: int, number: int) -> Made:
    items = [Made(1, at + (20 + place * 7) * MS, (6 - place % 2) * MS, []) for place in range(ITEMS)]
    payment = Made(1, at + 170 * MS, 240 * MS, [Made(2, at + 190 * MS, 200 * MS, [])])
    told = [Made(1, at + 420 * MS, 15 * MS, []), Made(1, at + 425 * MS, 30 * MS, [])]
    return Made(0, at, (500 + number) * MS, [*items, payment, *told])


def _asked(row: Row) -> Asked:
    port = row.peer_port if row.role == Role.CLIENT else row.local_port
    path = {SERVER_PORT: "/checkout", SERVER_PORT + 2: "/fraud/score"}.get(port, _of_tier_1(row))
    without = replace(row, request_head=b"", response_head=b"")
    return Asked(without, f"GET {path} HTTP/1.1\nhost: shop:{port}".encode(), b"HTTP/1.1 200")


def _of_tier_1(row: Row) -> str:
    if row.duration_ns >= PAID_FROM_NS:
        return "/payments"
    return "/events" if row.duration_ns >= TOLD_FROM_NS else f"/items/{row.connection // 2}"
