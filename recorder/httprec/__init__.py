"""Record slow HTTP calls of a host as root: copy raw facts into a capture, and interpret none of them."""

__version__ = "0.1.0"
