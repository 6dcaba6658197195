"""Kill recorders at random moments: every whole chunk must be readable, and at most the last second may be missing.

    PYTHONPATH=recorder:bpf:format python tests/fuzz/fuzz_kill.py SECONDS [SEED]

tests/support/killing.py says what is done to each recorder. A capture that breaks the rule is kept in the current
directory and named.
"""

from __future__ import annotations

import random
import shutil
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.killing import kill_one


def main() -> int:
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    draw = random.Random(seed)
    runs = recorded = given = 0
    until = time.monotonic() + seconds
    with TemporaryDirectory() as folder:
        path = Path(folder, "run.cap")
        while time.monotonic() < until:
            try:
                found, sent = kill_one(path, draw)
            except Exception:
                kept = f"fuzz_kill-{seed}-{runs}.cap"
                shutil.copy(path, kept)
                traceback.print_exc()
                print(f"kept the capture in {kept}")
                return 1
            runs, recorded, given = runs + 1, recorded + found, given + sent
            path.unlink()
    print(f"{runs} recorders killed, {recorded} of {given} calls readable, seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
