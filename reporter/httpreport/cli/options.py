"""Declare groups of options, and parse what they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
Option = Callable[[Command], Command]


def declared(command: Command, options: Sequence[Option[Command]]) -> Command:
    """Return a command with options added to it, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def parsed_by(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return a click callback that parses one text or each of several. A ValueError becomes a usage error."""

    def parsed(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            return tuple(map(parse, value)) if isinstance(value, tuple) else None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(f"{error}.") from None

    return parsed
