"""Find the protocol of a call by the first bytes of its request and response, never by ports or names.

HTTP/1 has a method and a blank at the start of the request (RFC 9112, 3) or `HTTP/1.` at the start of the response (4).
TLS has a record header (RFC 8446, 5.1): content type, 3, a minor version. Any other bytes are `tcp`. Heads are compared
as words of 64 bits, the first byte the lowest, so a status is in the second word of "HTTP/1.1 200".
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..common.interning import Words, words_of

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH")
ZERO, BLANK = np.uint64(ord("0")), np.uint64(ord(" "))
OTHER = ord("?")  # in a redacted capture, stands for a head of no known protocol
TLS_FIRST_TYPE, TLS_LAST_TYPE = 20, 24  # change_cipher_spec to heartbeat
TLS_MAJOR, TLS_LAST_MINOR = 3, 4

Heads = npt.NDArray[np.bytes_]
Mask = npt.NDArray[np.bool_]


class Kind(enum.IntEnum):
    """Say what the request and the response of a call carry."""

    UNKNOWN = 0  # no byte of either was recorded
    HTTP = 1
    TLS = 2
    TCP = 3


class ProtocolColumns(NamedTuple):
    """Hold what the first bytes show, one element for each call: `kind` (u1, a `Kind`), `method` (S7, empty if none was
    seen) and `status` (u2, 0 if none was seen)."""

    kind: npt.NDArray[np.uint8]
    method: npt.NDArray[np.bytes_]
    status: npt.NDArray[np.uint16]


def read_protocol(request_heads: Heads, response_heads: Heads) -> ProtocolColumns:
    """Return the columns for the heads of requests (S8) and of responses (S16)."""
    (request,), (response, second_word) = words_of(request_heads), words_of(response_heads)
    number = _method(request)
    version = _starts(response, b"HTTP/1.")
    no_response_read = (response | second_word) == 0
    kind = np.full(len(request), Kind.TCP, np.uint8)
    kind[_is_tls(request) | _is_tls(response)] = Kind.TLS
    http = version | ((number != 0) & no_response_read)
    kind[http] = Kind.HTTP
    kind[(request == 0) & no_response_read] = Kind.UNKNOWN
    number[~http] = 0
    return ProtocolColumns(kind, np.array([b"", *METHODS], "S7")[number], _status(second_word, version))


def without_content(request_heads: Heads, response_heads: Heads) -> tuple[Heads, Heads]:
    """Return the heads without anything that `read_protocol` does not look at, so that it returns the same for them.

    A method, or a status line's version and status, or the first bytes of a TLS record stay. OTHER replaces any other
    head.
    """
    (request,), (response, second_word) = words_of(request_heads), words_of(response_heads)
    methods = np.array([0, *(int.from_bytes(name + b" ", "little") for name in METHODS)], np.uint64)
    number, version = _method(request), _starts(response, b"HTTP/1.")
    bare_request = np.where(number != 0, methods[number], _bare_head(request, request != 0))
    bare_response = np.where(version, _bare_version(response), _bare_head(response, (response | second_word) != 0))
    bare_second_word = np.where(_status(second_word, version) != 0, second_word & np.uint64(0xFFFFFFFF), np.uint64(0))
    return _heads(bare_request), _heads(bare_response, bare_second_word)


def _bare_head(head: Words, some: Mask) -> Words:
    other = np.where(some, np.uint64(OTHER), np.uint64(0))
    return np.asarray(np.where(_is_tls(head), head & np.uint64(0xFFFFFF), other))


def _bare_version(response: Words) -> Words:
    """Return a status line's version. The eighth byte, the minor version, is cleared if it is no digit."""
    digit = _byte(response, 7) - ZERO <= 9
    return np.where(digit, response, response & np.uint64((1 << 56) - 1))


def _heads(*words: Words) -> Heads:
    size = 8 * len(words)
    return np.ascontiguousarray(np.stack(words, 1).astype("<u8")).view(f"S{size}").reshape(-1)


def _method(request: Words) -> npt.NDArray[np.intp]:
    """Return the number of each request's method in METHODS, counted from 1; 0 if it has none."""
    number = np.zeros(len(request), np.intp)
    for index, name in enumerate(METHODS, 1):
        number[_starts(request, name + b" ")] = index
    return number


def _status(second_word: Words, version: Mask) -> npt.NDArray[np.uint16]:
    """Return the status in the second word of a response's head, a blank and three digits; 0 if it has none."""
    digits = [_byte(second_word, index) - ZERO for index in (1, 2, 3)]  # bytes below "0" wrap around
    has_status = version & (_byte(second_word, 0) == BLANK)
    for digit in digits:
        has_status &= digit <= 9
    hundreds, tens, ones = digits
    return np.where(has_status, hundreds * np.uint64(100) + tens * np.uint64(10) + ones, 0).astype(np.uint16)


def _is_tls(head: Words) -> Mask:
    record = (_byte(head, 0) >= TLS_FIRST_TYPE) & (_byte(head, 0) <= TLS_LAST_TYPE)
    return np.asarray(record & (_byte(head, 1) == TLS_MAJOR) & (_byte(head, 2) <= TLS_LAST_MINOR))


def _starts(head: Words, prefix: bytes) -> Mask:
    mask = np.uint64((1 << 8 * len(prefix)) - 1)
    return np.asarray((head & mask) == np.uint64(int.from_bytes(prefix, "little")))


def _byte(words: Words, index: int) -> Words:
    return np.asarray((words >> np.uint64(8 * index)) & np.uint64(0xFF))
