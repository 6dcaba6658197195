"""Note what the interpreter itself says of the frames of a send. Runs on CPython 3.8 and later."""

from __future__ import annotations

import json
import threading
from typing import Any


class Notes:
    """Write lines of JSON: situation, request, and [function, file, line] of each frame, innermost first."""

    def __init__(self, path: str) -> None:
        self._file, self._lock = open(path, "w"), threading.Lock()  # noqa: SIM115 (closed when all is noted)

    def write(self, situation: str, request: str, frame: Any) -> None:
        """Note a frame and its callers."""
        found = []
        while frame:
            code = frame.f_code
            found.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno])
            frame = frame.f_back
        with self._lock:
            self._file.write(json.dumps({"situation": situation, "request": request, "frames": found}) + "\n")

    def close(self) -> None:
        self._file.close()
