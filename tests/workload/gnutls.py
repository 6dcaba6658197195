"""Speak TLS by GnuTLS, as far as a client and a server of HTTP need it. It is called through ctypes: Debian's apt needs
the library, so it is on every machine, but not what binds it to Python."""

from __future__ import annotations

import ctypes
import http.client
import io
import socket
from functools import cache
from typing import Any

from workload.tls_heads import HOST, KEY, Handler

_SERVER, _CLIENT = 1, 2
_CERTIFICATE, _PEM, _SHUT_WR = 1, 1, 1
_AGAIN, _ENDED = (-28, -52), -110  # GNUTLS_E_AGAIN, GNUTLS_E_INTERRUPTED, and GNUTLS_E_PREMATURE_TERMINATION
_PRIORITIES = {"TLSv1_2": b"NORMAL:-VERS-ALL:+VERS-TLS1.2", "TLSv1_3": b"NORMAL:-VERS-ALL:+VERS-TLS1.3"}


@cache
def loaded() -> ctypes.CDLL:
    found = ctypes.CDLL("libgnutls.so.30")
    for name in ("gnutls_record_send", "gnutls_record_recv"):
        function = getattr(found, name)
        function.restype, function.argtypes = ctypes.c_ssize_t, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    return found


@cache
def credentials() -> ctypes.c_void_p:
    made, key = ctypes.c_void_p(), str(KEY).encode()
    loaded().gnutls_certificate_allocate_credentials(ctypes.byref(made))
    loaded().gnutls_certificate_set_x509_key_file(made, key, key, _PEM)
    return made


class Secured(io.RawIOBase):
    """Read from and write to a socket in TLS; certificates are not verified. It is what http.client needs of a socket,
    too."""

    def __init__(self, plain: socket.socket, version: str, *, is_server: bool) -> None:
        self._socket, self._session = plain, ctypes.c_void_p()
        loaded().gnutls_init(ctypes.byref(self._session), _SERVER if is_server else _CLIENT)
        loaded().gnutls_priority_set_direct(self._session, _PRIORITIES[version], None)
        loaded().gnutls_credentials_set(self._session, _CERTIFICATE, credentials())
        loaded().gnutls_transport_set_int2(self._session, plain.fileno(), plain.fileno())
        _done(loaded().gnutls_handshake, self._session)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        return _done(loaded().gnutls_record_recv, self._session, view, len(buffer))

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return _done(loaded().gnutls_record_send, self._session, bytes(data), len(data))

    def close(self) -> None:
        if not self.closed:
            loaded().gnutls_bye(self._session, _SHUT_WR)
            loaded().gnutls_deinit(self._session)
            self._socket.close()
        super().close()

    sendall = write

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_Part(self))

    def getsockname(self) -> Any:
        return self._socket.getsockname()


class _Part(io.RawIOBase):
    """Read what belongs to one response."""

    def __init__(self, whole: Secured) -> None:
        self._whole = whole

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._whole.readinto(buffer)


class Connection(http.client.HTTPConnection):
    """Ask by GnuTLS."""

    def __init__(self, port: int, version: str) -> None:
        super().__init__(HOST, port)
        self._version = version

    def connect(self) -> None:
        super().connect()
        self.sock: Any = Secured(self.sock, self._version, is_server=False)


def handler_of(version: str) -> type[Handler]:
    """Return what answers by GnuTLS."""

    class SecuredHandler(Handler):
        def setup(self) -> None:
            secured = Secured(self.request, version, is_server=True)
            self.rfile, self.wfile = io.BufferedReader(secured), secured  # type: ignore[assignment]

    return SecuredHandler


def _done(function: Any, *arguments: Any) -> int:
    """Return what a function returns once it has done something. Raises OSError if it fails."""
    while (result := function(*arguments)) in _AGAIN:
        pass
    if result == _ENDED:  # by closing the socket
        return 0
    if result < 0:
        raise OSError(f"{function.__name__}: GnuTLS's error {result}")
    return int(result)
