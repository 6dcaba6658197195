"""Make the rows of the table: the routes of calls; or, if it is not known what calls ask for, processes and peers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional

from httpcapture import Role
from httpcapture.durations import duration_text

from ..calls.call import enum_text
from ..calls.route_totals import RouteTotals
from ..calls.totals import Latencies, PeerKey
from ..common.printable import printable
from ..outputs.terminal import peer_name
from ..report.route_totals import Route, totals_by_route
from .counted import OTHER_PEERS, Counted, Shown
from .state import State

_SECOND = 1_000_000_000
NOTHING = "-"


class Row(NamedTuple):
    """Hold one row: its name, printable; the latencies of its calls; how many failed, if that is known; and how many
    of them began in each second, lately."""

    name: str
    latencies: Latencies
    errors: Optional[int]
    per_second: Optional[float]

    @property
    def calls(self) -> int:
        """Return the number of calls."""
        return self.latencies.totals.calls

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the texts of the columns HEADS."""
        rate = NOTHING if self.per_second is None else rate_text(self.per_second)
        errors = NOTHING if self.errors is None else f"{self.errors:,}"
        quantiles = (duration_text(self.latencies.quantile_ns(share)) for share in (0.5, 0.99))
        return f"{self.calls:,}", rate, errors, *quantiles, duration_text(self.latencies.totals.slowest_ns), self.name


HEADS = ("calls", "calls/s", "errors", "p50", "p99", "max")

SORTS = {
    "time": lambda row: row.latencies.totals.time_ns,
    "calls": lambda row: row.calls,
    "calls/s": lambda row: row.per_second or 0,
    "errors": lambda row: row.errors or 0,
    "p50": lambda row: row.latencies.quantile_ns(0.5),
    "p99": lambda row: row.latencies.quantile_ns(0.99),
    "max": lambda row: row.latencies.totals.slowest_ns,
}
"""By what rows can be sorted, the largest first."""


def rate_text(per_second: float) -> str:
    """Return a number of calls in a second as text."""
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.1f}"


def rows_of(state: State, *, lately: bool = False) -> list[Row]:
    """Return a row for each route, or for each process and peer; with `lately`, of the calls of the last minute only.
    Those with the most time are first."""
    began = {name: totals.latencies.totals.calls for name, totals in _named(state, state.recent).items()}
    seconds = state.recent_ns / _SECOND
    rows = (
        Row(
            name,
            totals.latencies,
            totals.errors if state.has_heads else None,
            began.get(name, 0) / seconds if seconds >= 1 else None,
        )
        for name, totals in _named(state, state.recent if lately else state.counted).items()
    )
    return sorted(rows, key=lambda row: (-row.latencies.totals.time_ns, row.name))


def name_of(state: State, shown: Shown) -> str:
    """Return the name of the row to which a call belongs."""
    return _name_of_route(state.route(shown)) if state.has_heads else _name_of_peer(shown.peer)


def _named(state: State, counted: Counted) -> Mapping[str, RouteTotals]:
    """Return the totals by the names of rows. Errors are not counted by peer."""
    if state.has_heads:
        routes = totals_by_route(counted.requests, state.routes)
        named = [(_name_of_route(route), totals) for route, totals in routes.items()]
    else:
        named = [(_name_of_peer(key), RouteTotals(latencies)) for key, latencies in counted.peers.items()]
    sums: dict[str, RouteTotals] = {}
    for name, totals in named:  # what is not printable may make two names one
        sums[name] = sums[name] + totals if name in sums else totals
    return sums


def _name_of_route(route: Route) -> str:
    """Return the role, which a narrow terminal would cut off at the end, and the route."""
    return printable(f"{enum_text(Role, route.role)} {route.what}")


def _name_of_peer(key: PeerKey) -> str:
    return "other peers" if key == OTHER_PEERS else printable(peer_name(key))
