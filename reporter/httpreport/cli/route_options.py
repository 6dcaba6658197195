"""Define the options that say which paths have which route."""

from __future__ import annotations

from typing import Any

import click

from ..routes.patterns import RoutePattern, RoutePatterns, parse_lines
from .options import Command, declared, parsed_by

MAX_FILE = 1 << 20  # bytes of a file of routes


def _patterns_of_file(context: click.Context, parameter: click.Parameter, value: Any) -> tuple[RoutePattern, ...]:
    if value is None:
        return ()
    try:
        text = value.read(MAX_FILE + 1)
        if len(text) > MAX_FILE:
            raise ValueError(f"the file is longer than {MAX_FILE >> 20} MiB")
        return tuple(parse_lines(text.decode()))
    except (ValueError, OSError) as error:  # text that is not UTF-8 too
        raise click.BadParameter(f"{value.name}: {error}.") from None


def route_options(command: Command) -> Command:
    """Add the options to a command. It passes the values of the first two to `patterns_of`."""
    return declared(command, _OPTIONS)


_OPTIONS = (
    click.option(
        "--route-pattern",
        "route_patterns",
        callback=parsed_by(RoutePattern.parse),
        multiple=True,
        metavar="ROUTE",
        help="A route, such as /users/{id}: {id} stands for any one segment. It has the paths that it matches; of "
        "several the first. May be repeated.",
    ),
    click.option(
        "--route-patterns",
        "route_file",
        type=click.File("rb"),
        callback=_patterns_of_file,
        metavar="FILE",
        help="A file with such routes, one on each line, after those of --route-pattern.",
    ),
    click.option(
        "--explain-routes",
        "explain_routes",
        is_flag=True,
        help="Print after the summary which path has which route, and why.",
    ),
    click.option(
        "--by",
        type=click.Choice(["process", "route"]),
        default="process",
        show_default=True,
        help="Tell stacks apart by process only, or also by the routes of their calls.",
    ),
)


def patterns_of(given: tuple[RoutePattern, ...], of_file: tuple[RoutePattern, ...]) -> RoutePatterns:
    """Return the routes that the options give."""
    return RoutePatterns((*given, *of_file))
