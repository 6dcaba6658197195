"""Run the demonstration's programs and record them, on a kernel that takes probes.

    python3 demo_driver.py OUT

It runs as root, with the folder of the package `workload` in PYTHONPATH. It writes the capture to OUT/run.cap and the
output of httprec to OUT/run.out.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from workload import clients
from workload.plan import Plan
from workload.recorder import recording
from workload.servers import servers

OPTIONS = ("-t", "200")
WARM_UP = Plan(slow=1, fast=9, slow_ms=10)
PLAN = Plan(slow=4, fast=20, slow_ms=350)
CONNECTIONS = 2
LIVE_LINES = 7
STARTED = time.monotonic()


def main() -> None:
    out = Path(sys.argv[1])
    capture = out / "run.cap"
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        say(f"Linux {os.uname().release}. Starting nova-api (gunicorn, eventlet) -> nginx -> an upstream (aiohttp)")
        with servers(run, run):
            clients.run("curl", run, WARM_UP, CONNECTIONS)
            say(f"httprec -o run.cap {' '.join(OPTIONS)}        (compiling and attaching the probes)")
            with recording(capture, *OPTIONS):
                for client in clients.CLIENTS:
                    whom = "nova-api" if client == "curl" else "the upstream"
                    say(f"{client} asks {whom}: {PLAN.slow} slow calls ({PLAN.slow_ms} ms) among {PLAN.fast} fast ones")
                    clients.run(client, run, PLAN, CONNECTIONS)
            say("Ctrl-C. httprec printed")
    show(capture.with_suffix(".out").read_text().splitlines(), LIVE_LINES)
    show(capture.with_suffix(".err").read_text().splitlines(), LIVE_LINES)


def say(text: str) -> None:
    print(f"{time.monotonic() - STARTED:5.1f} s  {text}", flush=True)


def show(lines: list[str], most: int) -> None:
    """Print the first `most` lines, and how many more there are."""
    print(*(f"         {line}" for line in lines[:most]), sep="\n", flush=True)
    if len(lines) > most:
        print(f"         ... and {len(lines) - most:,} more", flush=True)


if __name__ == "__main__":
    main()
