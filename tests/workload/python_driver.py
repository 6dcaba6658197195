"""Record the calls of python_situations.py and the answers of python_answers.py, as root.

    python3 -m workload.python_driver OUT REPLACED PROBES...

A recorder for each kind of probes writes OUT/PROBES.cap, all at the same time. What both programs noted is in
OUT/client and OUT/server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from workload.recorder import recordings

HERE = Path(__file__).parent
ROOM = ("--stack-ring", "65536")  # KiB: the programs send faster than a busy machine takes stacks


def record(
    python: str,
    folder: Path,
    captures: Mapping[Path, Sequence[str]],
    replaced: int = 0,
    beside: Callable[[int], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Run both programs in an interpreter under recorders, whose options are given by the captures that they write.
    While the situations run, `beside` watches their process, of which it gets the pid."""
    answers = [python, str(HERE / "python_answers.py"), str(folder / "server")]
    with started(answers) as server:
        assert server.stdout
        port = server.stdout.readline().decode().strip()
        situations = [python, str(HERE / "python_situations.py"), str(folder / "client"), port, str(replaced)]
        always = ("-t", "0", "-q", "-p", os.path.basename(python)[:15], *ROOM)
        with started(situations) as client:
            assert client.stdin and client.stdout
            with_options = {capture: [*always, *options] for capture, options in captures.items()}
            with recordings(with_options), beside(client.pid):
                client.stdin.write(b"begin\n")
                client.stdin.flush()
                if client.stdout.readline() != b"noted\n":
                    raise RuntimeError("the situations ended early")


@contextmanager
def started(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a program, which ends with its standard input. Raises RuntimeError if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as program:
        yield program
    if program.returncode != 0:
        raise RuntimeError(f"{command[1]} ended with status {program.returncode}")


if __name__ == "__main__":
    out = Path(sys.argv[1])
    record(sys.executable, out, {out / f"{kind}.cap": ["--probes", kind] for kind in sys.argv[3:]}, int(sys.argv[2]))
