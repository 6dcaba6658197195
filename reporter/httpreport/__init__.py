"""httpreport: the reporter. It reads a capture anywhere, as any user, and makes all meaning: calls, stack
traces, names."""

__version__ = "0.1.0"
