"""Run httprec as a user would: in a process of its own, from where the tests import it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Optional

import click
import msgpack
import zstandard

import httpbpf
import httpcapture
import httprec
from httpcapture import Calls, End, Stack, open_capture
from workload.waiting import HANG_S

HTTPREC = [sys.executable, "-m", "httprec"]
TESTS = Path(__file__).parents[1]
SYNTHETIC_HTTPREC = [sys.executable, str(TESTS / "support" / "synthetic_httprec.py")]  # needs environment(TESTS)
# Another user than root, who may still read the tests' own folders.
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
NOBODY += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
NO_BPF = ["setpriv", "--bounding-set=-bpf,-perfmon,-sys_admin"]


def folder_of(module: ModuleType) -> Path:
    assert module.__file__ is not None
    return Path(module.__file__).parent


def environment(*first: Path, **variables: str) -> dict[str, str]:
    """Return the environment in which httprec is found, after the folders `first`, and without a user behind sudo."""
    folders = [*first, *(folder_of(module).parent for module in (httprec, httpbpf, httpcapture))]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUDO_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, dict.fromkeys(folders))), **variables}


def run(
    folder: Path,
    *arguments: str,
    before: Sequence[str] = (),
    python: Sequence[str] = HTTPREC,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run httprec in `folder`, started by the command `before`."""
    return subprocess.run(
        [*before, *python, *arguments],
        cwd=folder,
        env=environment() if variables is None else variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


def with_namespace(setup: str, *options: str) -> list[str]:
    """Return a command prefix that runs a shell script and then a command in a mount namespace of their own, which
    leaves nothing behind."""
    return ["unshare", "--mount", *options, "sh", "-ec", f'{setup}\nexec "$@"', "sh"]


def dependencies(folder: Path) -> Path:
    """Return a folder with links to httprec and everything that it imports, except BCC."""
    folder.mkdir()
    for module in (httprec, httpbpf, httpcapture, click, msgpack, zstandard):
        source = folder_of(module)
        (folder / source.name).symlink_to(source)
    return folder


class Read(NamedTuple):
    """Hold what is in a capture."""

    calls: int
    stacks: int
    end: Optional[End]
    cut_off: Optional[str]


def read(path: Path) -> Read:
    calls, stacks, end = 0, 0, None
    with open_capture(path) as reader:
        for record in reader:
            calls += record.rows if isinstance(record, Calls) else 0
            stacks += isinstance(record, Stack)
            end = record if isinstance(record, End) else end
        return Read(calls, stacks, end, reader.cut_off)
