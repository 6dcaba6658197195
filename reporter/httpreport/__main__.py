"""`python -m httpreport` is the command httpreport."""

from __future__ import annotations

from .cli.main import main

main(prog_name="httpreport")
