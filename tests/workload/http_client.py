"""Make calls with Python's http.client, on a new connection for every request."""

from __future__ import annotations

import http.client

from workload.client import run_in_processes
from workload.ports import HOST, UPSTREAM


def get(path: str) -> None:
    connection = http.client.HTTPConnection(HOST, UPSTREAM)
    connection.request("GET", path)
    connection.getresponse().read()
    connection.close()


if __name__ == "__main__":
    run_in_processes("http.client", get)
