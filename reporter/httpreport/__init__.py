"""httpreport: the reporter. It reads a capture anywhere, as any user, and makes all meaning: calls, stack
traces, names."""

from httpcapture.version import __version__ as __version__
