"""Add up self times by process and route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from httpcapture import Role

from ..common.printable import comm
from ..routes.routes import Routes
from .route_totals import Route, route_of
from .tree_totals import Answering, SelfTotals

_NOT_KNOWN = "not known"  # what a route is called then


class Answered(NamedTuple):
    """Identify what processes of one name answered, on any host."""

    process: str
    route: Route

    @property
    def name(self) -> str:
        """Return the process, and the route if it is known."""
        return self.process if self.route.what == _NOT_KNOWN else f"{self.process}: {self.route.what}"


def by_route(self_times: Mapping[Answering, SelfTotals], routes: Routes) -> dict[Answered, SelfTotals]:
    """Return the self times of what each process answered, those with the most time that is certain first."""
    found: dict[Answered, SelfTotals] = {}
    for answering, times in self_times.items():
        key = Answered(comm(answering.process), route_of(Role.SERVER, answering.request, routes))
        found[key] = found.get(key, SelfTotals()) + times
    return dict(sorted(found.items(), key=lambda item: (-item[1].least_ns, -item[1].most_ns, item[0])))
