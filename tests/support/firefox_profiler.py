"""Read a profile with the Firefox Profiler's own code, which loads it, converts it to its newest format and returns the
call trees (the command line that its authors publish; data/README.md).

That code runs a server, which is asked through a Unix socket: one line of JSON is answered by another. The tests ask it
directly, because the command gives a busy machine only half a second to start the server.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PROGRAM = Path(__file__).parents[1] / "reporter" / "data" / "profiler-cli" / "profiler-cli.js.gz"


class Track(NamedTuple):
    """Hold one thread. `stacks` are function names, outermost first, with their own weight."""

    process: str
    weight_type: str
    stacks: list[tuple[tuple[str, ...], float]]


def tracks(profile: Path) -> list[Track]:
    """Return the tracks of a profile, in its order."""
    with tempfile.TemporaryDirectory() as folder:  # its path is short, as that of a socket has to be
        program = Path(folder) / PROGRAM.stem
        program.write_bytes(gzip.decompress(PROGRAM.read_bytes()))
        command = [shutil.which("node") or "node", str(program), "--daemon", str(profile), "--session", "test"]
        environment = {**os.environ, "PROFILER_CLI_SESSION_DIR": folder}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
            try:
                return _tracks(server, f"{folder}/test.sock")
            finally:
                server.kill()


def _tracks(server: subprocess.Popen[bytes], path: str) -> list[Track]:
    while _answer(server, path, {"type": "status"})["type"] == "loading":
        time.sleep(0.02)

    def ask(what: str, **options: Any) -> Any:
        command = {"command": "thread", "subcommand": what, **options}
        answer = _answer(server, path, {"type": "command", "command": command})
        assert answer["type"] == "success", answer
        return answer["result"]

    found = []
    for thread in ask("list", threadListOptions={"sort": "index"})["threads"]:
        options = {"thread": thread["threadHandle"], "includeIdle": True, "callTreeOptions": {"maxNodes": 1 << 20}}
        tree = ask("samples-top-down", **options)
        found.append(Track(thread["processName"], tree["weightType"], list(_stacks(tree["regularCallTree"]))))
    return found


def _answer(server: subprocess.Popen[bytes], path: str, question: dict[str, Any]) -> Any:
    with socket.socket(socket.AF_UNIX) as connection:
        while connection.connect_ex(path):
            assert server.poll() is None, "the profiler ended"
            time.sleep(0.02)
        connection.sendall(json.dumps(question).encode() + b"\n")
        with connection.makefile(encoding="utf-8") as answers:
            return json.loads(answers.readline())


def _stacks(node: dict[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], float]]:
    assert "childrenTruncated" not in node
    if node["selfSamples"]:
        yield path, node["selfSamples"]
    for child in node["children"]:
        yield from _stacks(child, *path, child["name"])
