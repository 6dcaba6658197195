"""httprec: the recorder. It runs as root, copies raw facts into a capture and interprets nothing."""

__version__ = "0.1.0"
