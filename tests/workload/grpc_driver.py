"""Make the calls of grpc_calls.py under a recorder for each kind of probes, at the same time, as root.

    python3 -m workload.grpc_driver OUT PROBES...

The recorders write OUT/PROBES.cap. What grpc_calls.py prints is in OUT/own, and its process ID in OUT/pid.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from workload.recorder import recordings

OPTIONS = ("-t", "200", "-f")
CALLS = [sys.executable, str(Path(__file__).with_name("grpc_calls.py"))]


def main(out: Path, probes: Sequence[str]) -> None:
    recorders = {out / f"{kind}.cap": ["--probes", kind, *OPTIONS] for kind in probes}
    with recordings(recorders), (out / "own").open("wb") as own, subprocess.Popen(CALLS, stdout=own) as run:
        (out / "pid").write_text(str(run.pid))
    if run.returncode != 0:
        raise RuntimeError(f"{CALLS} ended with status {run.returncode}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
