"""Run the servers: an aiohttp upstream, nginx before it, and nova-api (gunicorn with eventlet), which asks nginx.

They are the distribution's programs, and so is Python, for gunicorn, eventlet, requests and aiohttp.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from workload.ports import HOST, NGINX, NOVA_API, UPSTREAM
from workload.waiting import wait_until

HERE = Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
MODULES = ("gunicorn", "eventlet", "requests", "aiohttp")


def missing() -> list[str]:
    """Return the programs and Python modules that are not installed here."""
    programs = [name for name in (PYTHON, "nginx", "curl", "node") if not shutil.which(name)]
    find = f"from importlib.util import find_spec\nprint(*(name for name in {MODULES} if not find_spec(name)))"
    if PYTHON in programs:
        return programs
    return programs + subprocess.run([PYTHON, "-c", find], check=True, capture_output=True, text=True).stdout.split()


def environment(calls: Path) -> dict[str, str]:
    """Return the environment of the workload's programs, which says where to log their calls and where this package
    is."""
    return {**os.environ, "CALLS": str(calls), "PYTHONPATH": str(HERE.parent), "PYTHONUNBUFFERED": "1"}


@contextmanager
def servers(calls: Path, run: Path) -> Iterator[Mapping[str, int]]:
    """Run all three servers in the folder `run` during the block, and yield their pids by name. They log their own
    calls to CALLS/NAME.jsonl. The pids of nginx and nova-api are those of the masters, whose one worker does the work.

    Raises RuntimeError, with the end of its log, if one ends instead of listening.
    """
    gunicorn = [str(HERE / "nova-api"), "--worker-class", "eventlet", "--bind", f"{HOST}:{NOVA_API}"]
    gunicorn += ["--keep-alive", "600", "workload.nova_api:application"]
    (run / "nginx.conf").write_text(_nginx_configuration(calls / "nginx.jsonl"))
    nginx = ["nginx", "-p", str(run), "-c", "nginx.conf", "-e", "nginx.error.log"]
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(_server(name, command, port, calls, run))
            for name, command, port in (
                ("upstream", [PYTHON, "-m", "workload.upstream"], UPSTREAM),
                ("nginx", nginx, NGINX),
                ("nova-api", gunicorn, NOVA_API),
            )
        }


def _nginx_configuration(log: Path) -> str:
    text = (HERE / "nginx.conf").read_text()
    for word, value in {"CALLS": log, "HOST": HOST, "UPSTREAM": UPSTREAM, "NGINX": NGINX}.items():
        text = text.replace(word, str(value))
    return text


@contextmanager
def _server(name: str, command: Sequence[str], port: int, calls: Path, run: Path) -> Iterator[int]:
    if _listens(port):
        raise RuntimeError(f"{name} cannot be started: something listens on port {port} of {HOST} already")
    log = run / f"{name}.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=run, env=environment(calls / f"{name}.jsonl"), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_it_listens(server, name, port, log)
        yield server.pid
    finally:
        server.terminate()
        server.wait()


def _wait_until_it_listens(server: subprocess.Popen[bytes], name: str, port: int, log: Path) -> None:
    wait_until(f"{name} to listen on port {port}", lambda: _listens(port) or server.poll() is not None)
    if server.poll() is not None:
        raise RuntimeError(f"{name} does not listen on port {port}: {log.read_text()[-2000:]}")


def _listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port)).close()
    except ConnectionRefusedError:
        return False
    return True
