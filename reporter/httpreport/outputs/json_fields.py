"""Make the fields that several JSON documents share."""

from __future__ import annotations

from typing import Any

from httpcapture import Role

from ..calls.call import enum_text
from ..calls.totals import Latencies, Totals
from ..report.route_totals import Route

QUANTILES = {"p50_ns": 0.5, "p90_ns": 0.9, "p99_ns": 0.99}


def route_fields(route: Route) -> dict[str, Any]:
    """Return the fields that identify a route."""
    return {
        "role": enum_text(Role, route.role),
        "method": route.method or None,
        "authority": route.authority or None,
        "route": route.path or None,
    }


def latencies_fields(latencies: Latencies) -> dict[str, Any] | None:
    """Return the fields of totals and quantiles, or None if there are no calls."""
    quantiles = {name: latencies.quantile_ns(share) for name, share in QUANTILES.items()}
    totals = totals_fields(latencies.totals)
    return totals and {**totals, **quantiles}


def totals_fields(totals: Totals) -> dict[str, Any] | None:
    """Return the fields of totals, or None if there are no calls."""
    if not totals.calls:
        return None
    return {"calls": totals.calls, "time_ns": totals.time_ns, "slowest_ns": totals.slowest_ns}
