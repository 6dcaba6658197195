"""Read what a TLS client and its server say before they encrypt: the name of the server, which protocols the client
offers (ALPN), which one the server chooses, and the version.

The bytes are the first of each direction, perhaps cut off, in records (RFC 8446, 5.1) that may divide a message
anywhere. They come from the network and may be anything; what is not as the RFCs have it is not known. The extensions
come in any order, and with post-quantum keys a ClientHello has more than 1,400 bytes. From TLS 1.3 on, the server
encrypts which protocol it chooses.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_HANDSHAKE = 22  # type of a record
_CLIENT_HELLO, _SERVER_HELLO = 1, 2  # types of a message
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS = 0, 16, 43  # types of an extension: RFC 6066, 7301, 8446
_HOST_NAME = 0  # type of a name
_RANDOM, _CIPHER_AND_COMPRESSION, _EXTENSION_HEADER = 32, 3, 4  # bytes
_MAX_RECORDS = 64
_MAX_PROTOCOLS = 8  # that are kept
_VERSIONS = {0x0301: b"1.0", 0x0302: b"1.1", 0x0303: b"1.2", 0x0304: b"1.3"}
_NAME = re.compile(rb"[0-9A-Za-z._-]{1,255}")
_PROTOCOL = re.compile(rb"[0-9A-Za-z][0-9A-Za-z./-]{0,31}")  # no GREASE (RFC 8701)


class ClientHello(NamedTuple):
    """Hold what a client says. What is not known, or not said, is empty."""

    server_name: bytes = b""
    protocols: tuple[bytes, ...] = ()


class ServerHello(NamedTuple):
    """Hold what a server says, the same way."""

    version: bytes = b""  # "1.3"
    protocol: bytes = b""


class _Message(NamedTuple):
    """Hold a hello as far as it is there."""

    version: int = 0  # up to 1.2; a greater one is in an extension
    extensions: tuple[tuple[int, bytes], ...] = ()  # type and content of those that are whole
    is_whole: bool = False


class _EndError(Exception):
    """Signal that bytes end before what should follow."""


class _Bytes:
    """Take bytes from the beginning of some."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next bytes. Raises _EndError if there are fewer."""
        if size > len(self._data) - self._at:
            raise _EndError
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self, size: int) -> bytes:
        """Return the next bytes, or as many as there are."""
        return self.take(min(size, len(self._data) - self._at))

    def number(self, size: int) -> int:
        """Return a number of so many bytes. Raises _EndError."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """Return the bytes after their length, which is a number of `size` bytes. Raises _EndError."""
        return self.take(self.number(size))


def read_client_hello(data: bytes) -> ClientHello:
    """Return what the first bytes that a client sent say."""
    said = dict(reversed(_read(data, _CLIENT_HELLO).extensions))
    return ClientHello(_server_name(said.get(_SERVER_NAME, b"")), _protocols(said.get(_ALPN, b"")))


def read_server_hello(data: bytes) -> ServerHello:
    """Return what the first bytes that a server sent say."""
    message = _read(data, _SERVER_HELLO)
    said = dict(reversed(message.extensions))
    version = message.version if message.is_whole else 0
    if _SUPPORTED_VERSIONS in said:
        version = int.from_bytes(said[_SUPPORTED_VERSIONS], "big")
    return ServerHello(_VERSIONS.get(version, b""), b"".join(_protocols(said.get(_ALPN, b""))[:1]))


def _read(data: bytes, kind: int) -> _Message:
    """Return the message with which the data begin, if it is one of this kind."""
    version, extensions = 0, []
    try:
        message = _Bytes(_content(data))
        if message.number(1) != kind:
            return _Message()
        body = _Bytes(message.rest(message.number(3)))
        version = body.number(2)
        body.take(_RANDOM)
        body.vector(1)  # the session's ID
        if kind == _SERVER_HELLO:
            body.take(_CIPHER_AND_COMPRESSION)
        else:
            body.vector(2)  # ciphers
            body.vector(1)  # compression
        left = body.number(2) if body else 0
        while left > 0:
            number, content = body.number(2), body.vector(2)
            extensions.append((number, content))
            left -= _EXTENSION_HEADER + len(content)
    except _EndError:
        return _Message(version, tuple(extensions))
    return _Message(version, tuple(extensions), is_whole=True)


def _content(data: bytes) -> bytes:
    """Return what is in the handshake records with which the data begin, as far as they are there."""
    records = _Bytes(data)
    content: list[bytes] = []
    try:
        while records and len(content) < _MAX_RECORDS and records.number(1) == _HANDSHAKE:
            records.take(2)  # the version of the record
            content.append(records.rest(records.number(2)))
    except _EndError:
        pass
    return b"".join(content)


def _server_name(extension: bytes) -> bytes:
    try:
        names = _Bytes(_Bytes(extension).vector(2))
        while names:
            kind, name = names.number(1), names.vector(2)
            if kind == _HOST_NAME:
                return name if _NAME.fullmatch(name) else b""
    except _EndError:
        pass
    return b""


def _protocols(extension: bytes) -> tuple[bytes, ...]:
    found: list[bytes] = []
    try:
        names = _Bytes(_Bytes(extension).vector(2))
        while names and len(found) < _MAX_PROTOCOLS:
            name = names.vector(1)
            found += [name] if _PROTOCOL.fullmatch(name) else []
    except _EndError:
        pass
    return tuple(found)
