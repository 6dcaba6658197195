"""Ask over TLS 1.2 and 1.3, on kept connections, by threads: clients and servers of GnuTLS, of which one end may be
OpenSSL's. Prints what was asked, as tls_heads.py does.

    python3 -m workload.gnutls_heads SECRET
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from workload import gnutls
from workload.tls_heads import (
    CONNECTIONS,
    HOST,
    SECURITY,
    Asked,
    ThreadedServer,
    ask,
    ask_by_thread,
    served,
    threaded_server,
)


def main() -> list[Asked]:
    waiting = []
    with ExitStack() as stack, ThreadPoolExecutor(64) as pool:
        for version in SECURITY[1:]:
            by_gnutls = served(ThreadedServer((HOST, 0), gnutls.handler_of(version)), stack)
            for number in range(CONNECTIONS):
                name = f"{version}-{number}"
                waiting.append(pool.submit(ask_by_thread, by_gnutls, version, f"{name}-by-openssl"))
                for kind, port in (("gnutls", by_gnutls), ("openssl", threaded_server(version, stack))):
                    waiting.append(pool.submit(ask, gnutls.Connection(port, version), f"{name}-of-{kind}"))
        return [call for calls in waiting for call in calls.result()]


if __name__ == "__main__":
    print(json.dumps(main()))
