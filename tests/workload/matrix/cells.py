"""Name the cells of the matrix of clients: which program asks how, by what protocol, over what connections.

A cell that a client has no way to make is left out, with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

CLIENTS = ("curl", "requests", "aiohttp", "httpx", "node", "go", "java", "grpcio")
GRPC = ("unary", "streaming")  # gRPC, in HTTP/2; the answer is one message, or several
PROTOCOLS = ("http1", "http2", "upgrade", *GRPC)  # upgrade: to HTTP/2, from HTTP/1.1, in the clear
SECURITY = ("plain", "tls12", "tls13", "tls12-resumed", "tls13-resumed")
CONNECTIONS = ("new", "kept", "ahead", "older")  # new: one for each call; older: than the recording
CONNECTS_AHEAD = (
    *(("node", "http1"), ("node", "http2"), ("go", "http1")),
    *(("grpcio", protocol) for protocol in GRPC),
)
PATHS = ("/1/fast", "/2/first", "/3/fast", "/4/body", "/5/fast")


class Cell(NamedTuple):
    """Say how one client asks."""

    client: str
    protocol: str
    security: str
    connections: str

    @property
    def name(self) -> str:
        return "-".join(self)

    @property
    def tls(self) -> str:
        """Return the version of TLS as the server names it, or ""."""
        return self.security.partition("-")[0] if self.security != "plain" else ""

    @property
    def is_resumed(self) -> bool:
        return self.security.endswith("-resumed")


def is_grpc_in_tls(cell: Cell) -> bool:
    return bool(cell.protocol in GRPC and cell.tls)


def every_cell() -> Iterator[Cell]:
    for client in CLIENTS:
        for protocol in PROTOCOLS:
            for security in SECURITY:
                for connections in CONNECTIONS:
                    yield Cell(client, protocol, security, connections)


PYTHONS = ("requests", "aiohttp", "httpx")
UPGRADES = ("curl", "java")  # clients that can ask for one
# Which cells there are not, and why: the first that applies.
REASONS: tuple[tuple[Callable[[Cell], bool], str], ...] = (
    (
        lambda cell: (cell.protocol in GRPC) != (cell.client == "grpcio"),
        "gRPC's own library speaks gRPC, and nothing else does here",
    ),
    (
        lambda cell: cell.is_resumed and is_grpc_in_tls(cell),
        "gRPC's library for Python resumes no session",
    ),
    (
        lambda cell: cell.is_resumed and cell.client in PYTHONS,
        "Python's ssl resumes no session unless the program hands it over, which the library does not",
    ),
    (
        lambda cell: cell.is_resumed and cell.connections != "new",
        "a session is resumed by the next connection",
    ),
    (
        lambda cell: cell.is_resumed and cell.protocol == "http2" and cell.client in ("node", "curl"),
        "the client resumes no session over HTTP/2, or has no need of a second connection",
    ),
    (
        lambda cell: cell.protocol == "http2" and cell.client in ("requests", "aiohttp"),
        "the library speaks HTTP/1.1 only",
    ),
    (
        lambda cell: (cell.protocol, cell.client, cell.tls) == ("http2", "go", ""),
        "Go's own client speaks HTTP/2 in TLS only",
    ),
    (
        lambda cell: (cell.protocol, cell.client, cell.tls) == ("http2", "java", ""),
        "Java asks for HTTP/2 in the clear by an upgrade only",
    ),
    (
        lambda cell: cell.protocol == "upgrade" and (cell.client not in UPGRADES or cell.security != "plain"),
        "other clients ask for no upgrade, and nobody does in TLS",
    ),
    (
        lambda cell: (cell.client, cell.tls, cell.connections) == ("curl", "", "kept") and cell.protocol != "http1",
        "curl 7.88 fails with an error of its own at the second request of such a connection",
    ),
    (
        lambda cell: cell.connections == "ahead" and (cell.client, cell.protocol) not in CONNECTS_AHEAD,
        "the client cannot be told to connect before it asks",
    ),
    (
        lambda cell: (cell.client, cell.connections) == ("curl", "older"),
        "curl ends when it has nothing to ask for",
    ),
)


def cannot(cell: Cell) -> str:
    """Return why there is no such cell, or ""."""
    return next((reason for applies, reason in REASONS if applies(cell)), "")


def cells() -> list[Cell]:
    """Return the cells that can be made."""
    return [cell for cell in every_cell() if not cannot(cell)]
