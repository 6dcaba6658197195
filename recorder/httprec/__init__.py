"""httprec: the recorder. It runs as root, copies raw facts into a capture and interprets nothing."""

from httpcapture.version import __version__ as __version__
