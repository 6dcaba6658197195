"""Name requests and holders by the routes of a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from httpcapture import Role

from ..calls.request_keys import NOT_KNOWN, OTHER_REQUEST, Examples, RequestKey
from ..report.evidence import Asked, Holder, HolderKind
from ..report.route_totals import Route, route_of
from ..routes.routes import Routes
from .answer import HolderName, Subject


@dataclass(frozen=True)
class Names:
    """Give names by the routes of a report, and the examples that they were decided from."""

    routes: Routes
    examples: Examples

    def subject(self, asked: Asked) -> Subject:
        """Return the subject that requests belong to."""
        route = self._route(asked.role, asked.request)
        return Subject(route, "" if route.path else asked.process)

    @cached_property
    def holder(self) -> Callable[[Holder], tuple[HolderName, ...]]:
        """Return a function that returns the names of a holder, the one that says most first."""
        return lru_cache(maxsize=None)(self._holder)

    def _holder(self, holder: Holder) -> tuple[HolderName, ...]:
        route = self._route(Role.SERVER, holder.request)
        if holder.kind is HolderKind.ITSELF:
            name = HolderName(holder.kind, holder.process, "", holder.port, "")
        else:
            between = f"{holder.answering}:{holder.port}"
            other = between if holder.kind is HolderKind.BETWEEN else route.authority or holder.place
            name = HolderName(holder.kind, holder.process, other, 0, "")
        return (name._replace(answering=route.asked), name) if route.path else (name,)

    def _route(self, role: int, request: RequestKey) -> Route:
        is_told_apart = request in self.examples or request == NOT_KNOWN
        return route_of(role, request if is_told_apart else OTHER_REQUEST, self.routes)
