"""Wait for conditions. A busy machine may take its time, so the limit only bounds hangs."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG_S = 600
PAUSE_S = 0.02


def wait_until(what: str, holds: Callable[[], bool]) -> None:
    """Wait until `holds` returns true. Raises TimeoutError, which says `what` was waited for, after HANG_S."""
    deadline = time.monotonic() + HANG_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {HANG_S} s for {what}")
        time.sleep(PAUSE_S)
