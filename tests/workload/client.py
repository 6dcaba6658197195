"""Provide what the Python clients share: arguments, a clock, and processes that each take a share of the paths.

python3 -m workload.X_client SLOW FAST SLOW_MS CONNECTIONS      with the log of its own clock in $CALLS
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from workload.own_clock import OwnClock
from workload.plan import Plan

PAUSE_S = 0.02  # after each call: on a busy machine a client's own clock is late by what others take


def arguments() -> tuple[list[str], int]:
    """Return the paths to ask for, and over how many connections at a time."""
    slow, fast, slow_ms, connections = map(int, sys.argv[1:5])
    return Plan(slow, fast, slow_ms).paths(), connections


def start_clock(client: str) -> None:
    gc.disable()  # its time between a receive and a look at the clock would be the client's, not the kernel's
    OwnClock(client, Path(os.environ["CALLS"])).install()


def run_in_processes(client: str, get: Callable[[str], None]) -> None:
    """Ask for all paths over as many connections at a time as there are processes; exit with 1 if one failed.

    Threads of one process would not do: they would wait for one another between a receive and a reading of the clock.
    """
    start_clock(client)
    paths, connections = arguments()
    shares = [(number, paths[number::connections], get) for number in range(connections)]
    workers = [multiprocessing.Process(target=_work_in_thread, args=share) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(any(worker.exitcode for worker in workers))


def _work_in_thread(number: int, paths: Sequence[str], get: Callable[[str], None]) -> None:
    """Work in a thread with a name of its own, so that names of threads and processes can be distinguished."""
    done: list[str] = []

    def work() -> None:
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(f"worker-{number}")
        for path in paths:
            get(path)
            done.append(path)
            time.sleep(PAUSE_S)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    sys.exit(len(done) != len(paths))
