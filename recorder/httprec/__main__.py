"""Run httprec as `python3 -m httprec`."""

from .main import main

main()
