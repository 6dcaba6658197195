"""The first bytes of a request and of its response say what a call speaks; ports and names never do.

HTTP/1 is a method and a blank in the request (RFC 9112, 3) or `HTTP/1.` in the response (4); TLS is a record
header (RFC 8446, 5.1): content type, 3, a minor version. Anything else that was read is `tcp`.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH")
STATUS_AT = 9  # "HTTP/1.1 200"
STATUS_DIGITS = 3
TLS_FIRST_TYPE, TLS_LAST_TYPE = 20, 24  # change_cipher_spec to heartbeat
TLS_MAJOR, TLS_LAST_MINOR = 3, 4

Heads = npt.NDArray[np.bytes_]
Mask = npt.NDArray[np.bool_]


class Kind(enum.IntEnum):
    """What the two bursts of a call carry."""

    UNKNOWN = 0  # no byte of either was read
    HTTP = 1
    TLS = 2
    TCP = 3


class Payloads(NamedTuple):
    """What the first bytes say, one element a call: `kind` (u1, a `Kind`), `method` (S7, empty where none was
    seen) and `status` (u2, 0 where none was seen)."""

    kind: npt.NDArray[np.uint8]
    method: npt.NDArray[np.bytes_]
    status: npt.NDArray[np.uint16]


def read(request_heads: Heads, response_heads: Heads) -> Payloads:
    """Read S8 heads of requests and S16 heads of responses."""
    request, response = _bytes_of(request_heads), _bytes_of(response_heads)
    method = np.zeros(len(request), "S7")
    for name in METHODS:
        method[_starts(request, name + b" ")] = name
    version = _starts(response, b"HTTP/1.")
    answer_read = response.any(axis=1)
    kind = np.full(len(request), Kind.TCP, np.uint8)
    kind[_is_tls(request) | _is_tls(response)] = Kind.TLS
    http = version | ((method != b"") & ~answer_read)
    kind[http] = Kind.HTTP
    kind[~request.any(axis=1) & ~answer_read] = Kind.UNKNOWN
    method[~http] = b""
    return Payloads(kind, method, _status(response, version))


def _status(response: npt.NDArray[np.uint8], version: Mask) -> npt.NDArray[np.uint16]:
    digits = response[:, STATUS_AT : STATUS_AT + STATUS_DIGITS]
    stands = version & (response[:, STATUS_AT - 1] == ord(" "))
    stands &= ((digits >= ord("0")) & (digits <= ord("9"))).all(axis=1)
    values = (digits.astype(np.uint16) - ord("0")) @ np.array([100, 10, 1], np.uint16)
    return np.where(stands, values, 0).astype(np.uint16)


def _is_tls(heads: npt.NDArray[np.uint8]) -> Mask:
    content_type, major, minor = heads[:, 0], heads[:, 1], heads[:, 2]
    record = (content_type >= TLS_FIRST_TYPE) & (content_type <= TLS_LAST_TYPE)
    return np.asarray(record & (major == TLS_MAJOR) & (minor <= TLS_LAST_MINOR))


def _starts(heads: npt.NDArray[np.uint8], prefix: bytes) -> Mask:
    return np.asarray((heads[:, : len(prefix)] == np.frombuffer(prefix, np.uint8)).all(axis=1))


def _bytes_of(heads: Heads) -> npt.NDArray[np.uint8]:
    """The heads as a matrix, one row a head, one column a byte."""
    return np.ascontiguousarray(heads).view(np.uint8).reshape(len(heads), heads.dtype.itemsize)
