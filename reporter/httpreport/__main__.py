"""Run the command httpreport as `python -m httpreport`."""

from __future__ import annotations

from .cli.main import main

main(prog_name="httpreport")
