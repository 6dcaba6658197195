"""Delete its own executable, write a map as a run-time compiler would, and make calls for ever; in the guest.

hidden_client.py PORT
"""

from __future__ import annotations

import mmap
import os
import socket
import sys
from pathlib import Path


def main(port: int) -> None:
    os.unlink(sys.executable)
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    code = mmap.mmap(-1, mmap.PAGESIZE, flags=private, prot=mmap.PROT_READ | mmap.PROT_EXEC)  # else no map is read
    jit_map = Path(f"/tmp/perf-{os.getpid()}.map")
    jit_map.touch(mode=0o600)
    jit_map.write_text("1000 10 jitted\n")
    with socket.create_connection(("127.0.0.1", port)) as connection:
        print(f"begun, with {len(code)} bytes of code", flush=True)
        while True:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: guest\r\n\r\n")
            connection.recv(65536)


if __name__ == "__main__":
    main(int(sys.argv[1]))
