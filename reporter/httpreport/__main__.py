"""`python -m httpreport` is the command httpreport."""

from __future__ import annotations

from .main import main

main(prog_name="httpreport")
