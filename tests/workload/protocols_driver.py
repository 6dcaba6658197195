"""Make the calls of protocols.py and http2.py under a recorder for each kind of probes, at the same time, as root.

    python3 -m workload.protocols_driver OUT PROBES...

The recorders write OUT/PROBES.cap. The clients' own times are in OUT, and of connections that are older than the
recordings in OUT/SCENARIO.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from workload.http2 import JOINED
from workload.protocols import OLDER
from workload.recorder import recordings

THRESHOLD_MS = 200
PROTOCOLS, STREAMS = ([sys.executable, "-m", f"workload.{name}"] for name in ("protocols", "http2"))


def main(out: Path, probes: Sequence[str]) -> None:
    options = ("-t", str(THRESHOLD_MS), "-f", "-q")
    with ExitStack() as older:
        waiting = [older.enter_context(connected(out / name, name)) for name in (*OLDER, *JOINED)]
        with recordings({out / f"{kind}.cap": ["--probes", kind, *options] for kind in probes}):
            for process in waiting:
                process.communicate(b"\n")
            for command in (PROTOCOLS, STREAMS):
                subprocess.run([*command, out], check=True)


@contextmanager
def connected(folder: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that has connected, and goes on once it reads a line. Raises RuntimeError if it fails."""
    folder.mkdir()
    command = STREAMS if name in JOINED else PROTOCOLS
    with subprocess.Popen([*command, folder, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    if process.returncode != 0:
        raise RuntimeError(f"{name} ended with status {process.returncode}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
