"""Make the calls of http2.py in TLS 1.2 and 1.3, whose sockets OpenSSL reads and writes.

    python3 -m workload.tls_streams OUT

The clients' own times are in OUT/TLSv1_2 and OUT/TLSv1_3.
"""

from __future__ import annotations

import functools
import os
import socket
import ssl
import sys
from pathlib import Path

from .http2 import ENDS, HTTP2, start
from .http2_upgrades import LEFT, UPGRADES
from .protocols import over_tls

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
CLEAR_ONLY = {"http2_pieces", "http2_mended", *UPGRADES, *LEFT}  # what they do, a TLS socket cannot
CALLS, ENDED = ([name for name in among if name not in CLEAR_ONLY] for among in (HTTP2, ENDS))


def secured(version: ssl.TLSVersion, sock: socket.socket, is_server: bool) -> ssl.SSLSocket:
    return over_tls(sock, is_server, version)


def main(out: Path) -> None:
    children: list[int] = []
    for version in VERSIONS:
        folder = out / version.name
        folder.mkdir()
        for name in (*CALLS, *ENDED):
            children += start(name, folder, functools.partial(secured, version))
    failed = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    sys.exit(any(failed))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
