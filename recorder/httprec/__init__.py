"""Record slow HTTP calls of a host as root: copy raw facts into a capture, and interpret none of them."""

from httpcapture.version import __version__ as __version__
