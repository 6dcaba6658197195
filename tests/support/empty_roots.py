"""Report captures in roots that have little or nothing else, and without a network."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

# The first report is there to import all that a report imports: below the roots there is nothing to import.
_REPORTS = """
import os, sys
from httpreport.cli.main import main
count, folder = int(sys.argv[1]), sys.argv[2]
roots, options = sys.argv[3 : 3 + count], sys.argv[3 + count :]
main([roots[0] + "/run.cap", "-o", folder, *options], standalone_mode=False)
for root in roots:
    if os.fork() == 0:
        os.chroot(root)
        os.chdir("/")
        main(["run.cap", *options], standalone_mode=False)
        sys.exit()
    _, status = os.wait()
    if status:
        sys.exit(f"no report below {root}")
"""


def report_below(*roots: Path, options: tuple[str, ...] = ()) -> None:
    """Report ROOT/run.cap into each root by a process that sees nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(len(roots)), folder, *map(str, roots), *options]
        subprocess.run(
            ["unshare", "--net", sys.executable, "-c", _REPORTS, *arguments], check=True, stdout=subprocess.DEVNULL
        )
