"""Define the options that filter calls, other than -t and -p, and turn their values into `Filters`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from httpcapture import Outcome, Role

from ..calls import time_options
from ..calls.filters import Filters, Peer
from ..calls.head_filters import PathFilter, RouteFilter, StatusFilter
from ..calls.protocol import Encrypted, Kind
from ..calls.time_options import TimeOption
from ..calls.workload_filters import ContainerFilter, PodFilter
from .options import Command, declared, parsed_by

_WORDS = {kind: click.Choice([value.name.lower() for value in kind]) for kind in (Role, Kind, Outcome)}


def filter_options(command: Command) -> Command:
    """Add the options to a command. It passes their values to `filters_of`."""
    return declared(command, _OPTIONS)


_OPTIONS = (
    click.option(
        "--pid",
        "pids",
        type=click.IntRange(0, (1 << 32) - 1),
        multiple=True,
        metavar="PID",
        help="Only calls of this process.",
    ),
    click.option("--role", "roles", type=_WORDS[Role], multiple=True, help="Only calls as client, or only as server."),
    click.option(
        "--peer",
        "peers",
        callback=parsed_by(Peer.parse),
        multiple=True,
        metavar="HOST[:PORT]",
        help="Only calls whose peer has this address and, if given, this port: 10.0.0.1, 10.0.0.1:80, ::1, [::1]:80.",
    ),
    click.option("--kind", "kinds", type=_WORDS[Kind], multiple=True, help="Only calls of this protocol."),
    click.option("--outcome", "outcomes", type=_WORDS[Outcome], multiple=True, help="Only calls with this outcome."),
    click.option(
        "--encrypted",
        type=click.Choice([value.name.lower() for value in (Encrypted.YES, Encrypted.NO)]),
        multiple=True,
        help="Only calls on connections that are encrypted by TLS, or only on others.",
    ),
    click.option(
        "--method", "methods", multiple=True, metavar="METHOD", help="Only calls with this HTTP method, such as POST."
    ),
    click.option(
        "--path",
        "paths",
        callback=parsed_by(PathFilter.parse),
        multiple=True,
        metavar="GLOB",
        help="Only calls whose path, without the query, is like this: * stands for anything up to the next /, ** for "
        "anything, ? for one character. With re: in front it is a regular expression, which may match a part.",
    ),
    click.option(
        "--route",
        "routes",
        callback=parsed_by(RouteFilter.parse),
        multiple=True,
        metavar="ROUTE",
        help="Only calls with this route, as the summary shows it: /users/{n}. {*} stands for any one segment.",
    ),
    click.option(
        "--authority",
        "authorities",
        multiple=True,
        metavar="HOST[:PORT]",
        help="Only calls whose request names exactly this in Host or :authority, or in TLS as the server's name.",
    ),
    click.option(
        "--status",
        "statuses",
        callback=parsed_by(StatusFilter.parse),
        multiple=True,
        metavar="STATUS",
        help="Only calls that were answered with this status: 404, 5xx, >=400, <300.",
    ),
    click.option(
        "--request-id",
        "request_ids",
        multiple=True,
        metavar="ID",
        help="Only calls of the request or trace with this ID.",
    ),
    click.option(
        "--container",
        "containers",
        callback=parsed_by(ContainerFilter.parse),
        multiple=True,
        metavar="NAME",
        help="Only calls of processes in this container: its name, in which * and ? match, or at least 12 digits of "
        "its ID. Of a process outside of containers it is the name of its systemd unit: nginx.service.",
    ),
    click.option(
        "--pod",
        "pods",
        callback=parsed_by(PodFilter.parse),
        multiple=True,
        metavar="[NAMESPACE/]NAME",
        help="Only calls of processes in this pod, in whose name * and ? match; or with this UID.",
    ),
    click.option(
        "--host",
        "hosts",
        multiple=True,
        metavar="NAME",
        help="Only calls that were recorded on this machine, in whose name *, ? and [ match. What a request names is "
        "its --authority.",
    ),
    click.option(
        "--since",
        callback=parsed_by(time_options.parse),
        metavar="TIME",
        help="Only calls that began at TIME or later: +30s (or ms, m, h) after the start of the capture, 19:06:48 on "
        "its first day, or 2026-11-22T19:06:48; in UTC, or with a zone such as +01:00.",
    ),
    click.option(
        "--until", callback=parsed_by(time_options.parse), metavar="TIME", help="Only calls that began before TIME."
    ),
)


def filters_of(
    *,
    pids: Sequence[int],
    roles: Sequence[str],
    peers: Sequence[Peer],
    kinds: Sequence[str],
    outcomes: Sequence[str],
    encrypted: Sequence[str],
    methods: Sequence[str],
    paths: Sequence[PathFilter],
    routes: Sequence[RouteFilter],
    authorities: Sequence[str],
    statuses: Sequence[StatusFilter],
    request_ids: Sequence[str],
    containers: Sequence[ContainerFilter],
    pods: Sequence[PodFilter],
    hosts: Sequence[str],
    since: TimeOption | None,
    until: TimeOption | None,
) -> Filters:
    """Return the filters that the options ask for."""
    return Filters(
        tuple(pids),
        tuple(Role[name.upper()] for name in roles),
        tuple(peers),
        tuple(Kind[name.upper()] for name in kinds),
        tuple(Outcome[name.upper()] for name in outcomes),
        tuple(Encrypted[name.upper()] for name in encrypted),
        tuple(methods),
        tuple(paths),
        tuple(routes),
        tuple(authorities),
        tuple(statuses),
        tuple(request_ids),
        tuple(containers),
        tuple(pods),
        tuple(hosts),
        since,
        until,
    )
