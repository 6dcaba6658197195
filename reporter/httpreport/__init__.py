"""Report on captures, anywhere and as any user. The recorder copies raw facts; this package interprets them as calls,
stack traces and names."""

from httpcapture.version import __version__ as __version__
