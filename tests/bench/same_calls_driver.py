"""Run two recorders at the same time over the same traffic; as root, in the guest or on this machine.

    python3 same_calls_driver.py OUT PROBES THRESHOLD_MS FOLDER_OF_OLD FOLDER_OF_NEW [OPTION...]

Each folder has a recorder's packages. The captures are OUT/old.cap and OUT/new.cap; OUT/ports.json says to which ports
the calls were made. Where nginx and keep_alive (keep_alive.c) are, there is load as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from same_calls_traffic import Traffic

HERE = Path(__file__).parent
PORT = 8081
SECONDS = "2"


@contextlib.contextmanager
def recorder(folder: str, capture: Path, *options: str) -> Iterator[None]:
    log = capture.with_suffix(".txt")
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "httprec", "-q", "-f", "-o", str(capture), *options]
        environment = {**os.environ, "PYTHONPATH": folder}
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
    while b"Tracing..." not in log.read_bytes():
        if process.poll() is not None:
            raise SystemExit(log.read_text())
        time.sleep(0.1)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def load() -> None:
    """Put a keep-alive load on nginx."""
    client = HERE / "keep_alive"
    if not shutil.which("nginx") or not client.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "item").write_bytes(b"x" * 3000)
        server = subprocess.Popen(["nginx", "-p", folder, "-c", HERE / "nginx.conf", "-e", f"{folder}/error.log"])
        time.sleep(1)
        subprocess.run([client, str(PORT), "16", SECONDS, "/item", "/missing"], check=True, stdout=subprocess.DEVNULL)
        server.terminate()
        server.wait()


def main() -> None:
    out, probes, threshold, old, new, *options = sys.argv[1:]
    options = ["--probes", probes, "-t", threshold, "--call-ring", "65536", "--stack-ring", "131072", *options]
    traffic = Traffic()
    (Path(out) / "ports.json").write_text(json.dumps([*traffic.ports, PORT]))
    with recorder(old, Path(out) / "old.cap", *options), recorder(new, Path(out) / "new.cap", *options):
        traffic.run()
        load()
    traffic.close()


if __name__ == "__main__":
    main()
