"""Run httpreport's command line in the process of the tests."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from httpreport.cli.main import main


def run(*arguments: str | Path, data: bytes | None = None) -> Result:
    """Return what the command prints and its status; `data` is its standard input."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=data)
