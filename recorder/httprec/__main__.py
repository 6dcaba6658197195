"""`python3 -m httprec` is httprec."""

from .main import main

main()
