"""Tell which route the requests of a report have, and the totals of its calls by route.

Aggregates have requests with the shapes of their paths. Once all of them are merged, the routes are decided, and then
requests with one route are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from httpcapture import Role

from ..calls.call import enum_text
from ..calls.request_keys import NOT_KNOWN, OTHER_REQUEST, Examples, RequestKey, paths_by_shape
from ..calls.route_totals import RouteTotals
from ..routes.routes import Routes, decide


class HostRequest(NamedTuple):
    """Identify the calls of one role on one host that ask for one thing."""

    host: str
    role: int
    request: RequestKey


class Route(NamedTuple):
    """Identify the calls of one role with one route. A text that is not known is empty."""

    role: int
    method: str
    authority: str
    path: str

    @property
    def name(self) -> str:
        """Return the route as text: `GET /users/{n} at api:80 (client)`."""
        return f"{self.what} ({enum_text(Role, self.role)})"

    @property
    def what(self) -> str:
        """Return the same without the role."""
        return f"{self.asked} at {self.authority}" if self.authority else self.asked

    @property
    def asked(self) -> str:
        """Return method and path."""
        return " ".join(filter(None, (self.method, self.path))) if self.path else "not known"


def routes_of(examples: Examples) -> Routes:
    """Return the routes of all requests of a report."""
    return decide(paths_by_shape(examples))


def route_of(role: int, request: RequestKey, routes: Routes) -> Route:
    """Return the route of calls that ask for one thing."""
    path = "" if request.shape == NOT_KNOWN.shape else routes.of(request.shape)
    return Route(role, request.method, request.authority, path)


def totals_by_route(requests: Mapping[HostRequest, RouteTotals], routes: Routes) -> Mapping[Route, RouteTotals]:
    """Return the totals by route, those with the most time first."""
    totals: dict[Route, RouteTotals] = {}
    for (_, role, request), of_request in requests.items():
        route = route_of(role, request, routes)
        totals[route] = totals[route] + of_request if route in totals else of_request
    return dict(sorted(totals.items(), key=lambda item: (-item[1].latencies.totals.time_ns, item[0])))


def within(
    requests: Iterable[tuple[HostRequest, RouteTotals]], examples: Examples
) -> Mapping[HostRequest, RouteTotals]:
    """Return the totals of requests, with OTHER_REQUEST for those that are not among the examples."""
    totals: dict[HostRequest, RouteTotals] = {}
    for key, of_request in requests:
        is_told_apart = key.request in examples or key.request == NOT_KNOWN
        own = key if is_told_apart else key._replace(request=OTHER_REQUEST)
        totals[own] = totals[own] + of_request if own in totals else of_request
    return totals
