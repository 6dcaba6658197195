"""Make calls with requests and keep-alive: one session in each process."""

from __future__ import annotations

import requests

from workload.client import run_in_processes
from workload.ports import HOST, UPSTREAM

session = requests.Session()


def get(path: str) -> None:
    session.get(f"http://{HOST}:{UPSTREAM}{path}").raise_for_status()


if __name__ == "__main__":
    run_in_processes("requests", get)
