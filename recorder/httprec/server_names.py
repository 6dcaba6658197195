"""Remember what both ends of TLS connections said first, and tell it of their calls as text: a HEAD_TEXT of
format/FORMAT.md.

The kernel sends the bytes when they are said, long before a call of the connection is known to be slow, so most are
never looked at. What is remembered is bounded: the connections that were used last are.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from httpcapture import HEAD_CUT

from . import tuning
from .tls_hellos import read_client_hello, read_server_hello

_MAX_HELLO = 4096  # bytes of one direction
_OVERHEAD = 512  # bytes of memory for a connection, apart from those that it said
_FIRST_LINE = b"? ? ?"


@dataclass
class _Said:
    """Hold the first bytes of a connection, or once it was asked for, what they tell."""

    client: bytearray = field(default_factory=bytearray)
    server: bytearray = field(default_factory=bytearray)
    text: bytes | None = None

    @property
    def nbytes(self) -> int:
        return _OVERHEAD + len(self.client) + len(self.server)


class ServerNames:
    """Remember what TLS connections said, by their numbers."""

    def __init__(self) -> None:
        self._said: OrderedDict[int, _Said] = OrderedDict()  # the most recently used last
        self._size = 0

    def __len__(self) -> int:
        return len(self._said)

    def add(self, connection: int, offset: int, data: bytes, *, from_server: bool) -> None:
        """Add bytes that one end said, after so many others. Bytes after a gap are left out."""
        said = self._said.get(connection) or _Said()
        self._size -= said.nbytes if connection in self._said else 0
        bytes_of_end = said.server if from_server else said.client
        if len(bytes_of_end) == offset and offset + len(data) <= _MAX_HELLO:
            bytes_of_end += data
            said.text = None
        self._said[connection] = said
        self._said.move_to_end(connection)
        self._size += said.nbytes
        while self._size > tuning.MAX_HELLOS_BYTES:
            self._size -= self._said.popitem(last=False)[1].nbytes

    def text(self, connection: int) -> bytes:
        """Return what is known of the calls of a connection, b"" if nothing is."""
        said = self._said.get(connection)
        if said is None:
            return b""
        self._said.move_to_end(connection)
        if said.text is None:
            said.text = hello_text(bytes(said.client), bytes(said.server))
        return said.text


def hello_text(client: bytes, server: bytes) -> bytes:
    """Return what the first bytes of a TLS connection tell of its calls; b"" if they tell nothing."""
    asked, answered = read_client_hello(client), read_server_hello(server)
    lines = (
        (b"tls-server-name", asked.server_name),
        (b"tls-offered", b", ".join(asked.protocols)),
        (b"tls-version", answered.version),
        (b"tls-protocol", answered.protocol),
    )
    known = [b"%b: %b" % line for line in lines if line[1]]
    return b"\n".join([_FIRST_LINE, *known, HEAD_CUT]) if known else b""
