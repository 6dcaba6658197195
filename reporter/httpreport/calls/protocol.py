"""Find the protocol of a call by the first bytes of its request and response, never by ports or names.

HTTP/1 has a method and a blank at the start of the request (RFC 9112, 3) or `HTTP/1.` at the start of the response (4).
A method may be any token (RFC 9110, 9.1), but only a status line tells that an unusual one is a method. TLS has a
record header (RFC 8446, 5.1): content type, 3, a minor version. Any other bytes are `tcp`. Heads are compared as words
of 64 bits, the first byte the lowest, so a status is in the second word of "HTTP/1.1 200".
"""

from __future__ import annotations

import enum
import string
from typing import NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from ..common.interning import Words, words_of
from .schema import CALL

METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH")
ZERO, BLANK = np.uint64(ord("0")), np.uint64(ord(" "))
TOKEN = np.isin(np.arange(256), bytearray(b"!#$%&'*+-.^_`|~" + (string.ascii_letters + string.digits).encode()))
"""Say of each byte whether a token may have it (RFC 9110, 5.6.2)."""
SWITCHING_PROTOCOLS = 101  # the only status of 1xx that is the last one of its call (RFC 9110, 15.2)
OTHER = ord("?")  # in a redacted capture, stands for a head of no known protocol
TLS_FIRST_TYPE, TLS_LAST_TYPE = 20, 24  # change_cipher_spec to heartbeat
TLS_MAJOR, TLS_LAST_MINOR = 3, 4

Heads = npt.NDArray[np.bytes_]
Mask = npt.NDArray[np.bool_]


class Kind(enum.IntEnum):
    """Say what the request and the response of a call carry."""

    UNKNOWN = 0  # no byte of either was recorded
    HTTP = 1
    TLS = 2  # what is inside is not known
    TCP = 3
    WEBSOCKET = 4  # an HTTP request that was answered by 101 Switching Protocols, and what follows
    HTTP2 = 5  # one stream of a connection


class Encrypted(enum.IntEnum):
    """Say whether the connection of a call is encrypted by TLS."""

    UNKNOWN = 0
    YES = 1
    NO = 2


class ProtocolColumns(NamedTuple):
    """Hold what the first bytes show, one element for each call: `kind` (u1, a `Kind`), `method` (S15, empty if none
    was seen), `status` (u2, 0 if none was seen) and `encrypted` (u1, an `Encrypted`)."""

    kind: npt.NDArray[np.uint8]
    method: npt.NDArray[np.bytes_]
    status: npt.NDArray[np.uint16]
    encrypted: npt.NDArray[np.uint8]


def read_protocol(
    request_heads: Heads,
    response_heads: Heads,
    is_encrypted: Optional[npt.NDArray[np.uint8]] = None,
    streams: Optional[npt.NDArray[np.uint32]] = None,
) -> ProtocolColumns:
    """Return the columns for the heads of requests and of responses (S16), in whole words of 8 bytes.

    `is_encrypted` is not 0 for calls on encrypted connections; it is None if the capture does not tell. `streams` is
    not 0 for calls that are a stream of HTTP/2, of which no head is read.
    """
    request, (response, second_word) = words_of(request_heads), words_of(response_heads)
    version = _starts(response, b"HTTP/1.")
    has_status = _has_status(second_word, version)
    method = _methods(request_heads, request[0], has_status)
    no_response_read = (response | second_word) == 0
    http = version | (_some(method) & no_response_read)
    tls = (_is_tls(request[0]) | _is_tls(response)) & ~http
    kind = np.full(len(response), Kind.TCP, np.uint8)
    kind[~np.any(request, 0) & no_response_read] = Kind.UNKNOWN
    kind[tls if is_encrypted is None else tls | (is_encrypted != 0)] = Kind.TLS
    kind[http] = Kind.HTTP
    status = np.where(has_status, _digits(second_word), 0).astype(np.uint16)
    kind[_starts(response, b"HTTP/1.1") & (status == SWITCHING_PROTOCOLS)] = Kind.WEBSOCKET
    status[(status >= 100) & (status < 200) & (status != SWITCHING_PROTOCOLS)] = 0
    if streams is not None:
        kind[streams != 0] = Kind.HTTP2
        http &= streams == 0
        status[streams != 0] = 0
    method[~http] = b""
    return ProtocolColumns(kind, method, status, _encrypted(kind, is_encrypted))


def without_content(request_heads: Heads, response_heads: Heads) -> tuple[Heads, Heads]:
    """Return the heads without anything that `read_protocol` does not look at, so that it returns the same for them.

    A method, or a status line's version and status, or the first bytes of a TLS record stay. OTHER replaces any other
    head.
    """
    request, (response, second_word) = words_of(request_heads), words_of(response_heads)
    version = _starts(response, b"HTTP/1.")
    has_status = _has_status(second_word, version)
    method = _methods(request_heads, request[0], has_status)
    bare_request = _heads(_bare_head(request[0], np.any(request, 0)), *(np.zeros_like(word) for word in request[1:]))
    has_method = _some(method)
    bare_request[has_method] = np.char.add(method[has_method], b" ")
    bare_response = np.where(version, _bare_version(response), _bare_head(response, (response | second_word) != 0))
    bare_second_word = np.where(has_status, second_word & np.uint64(0xFFFFFFFF), np.uint64(0))
    return bare_request, _heads(bare_response, bare_second_word)


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


def _methods(request_heads: Heads, request: Words, has_status: Mask) -> Heads:
    """Return the method of each request (S15), empty if it has none. `request` is the first word of its head."""
    number = np.zeros(len(request), np.intp)
    for index, name in enumerate(METHODS, 1):
        number[_starts(request, name + b" ")] = index
    methods = np.array([b"", *METHODS], CALL["method"])[number]
    unusual = np.flatnonzero(has_status & (number == 0) & (request != 0))
    if len(unusual):
        width = request_heads.dtype.itemsize
        heads = np.ascontiguousarray(request_heads[unusual]).view(np.uint8).reshape(len(unusual), width)
        ends = np.argmin(TOKEN[heads], 1)  # 0 too if the head has nothing but a token, whose end is not known
        token = (ends > 0) & (heads[np.arange(len(heads)), ends] == BLANK)
        heads[np.arange(width) >= ends[:, None]] = 0
        methods[unusual[token]] = heads.view(request_heads.dtype).reshape(-1)[token]
    return methods


def _some(texts: Heads) -> Mask:
    """Return whether each text is not empty."""
    return np.asarray(texts.view(np.uint8).reshape(len(texts), texts.dtype.itemsize)[:, 0] != 0)


def _has_status(second_word: Words, version: Mask) -> Mask:
    """Return whether a blank and three digits follow the version, in the second word of a response's head."""
    has_status = version & (_byte(second_word, 0) == BLANK)
    for index in (1, 2, 3):
        has_status &= _byte(second_word, index) - ZERO <= 9  # bytes below "0" wrap around
    return np.asarray(has_status)


def _digits(second_word: Words) -> Words:
    """Return the number that the second to fourth byte spell."""
    hundreds, tens, ones = (_byte(second_word, index) - ZERO for index in (1, 2, 3))
    return np.asarray(hundreds * np.uint64(100) + tens * np.uint64(10) + ones)


def _encrypted(kind: npt.NDArray[np.uint8], is_encrypted: Optional[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Return what is known of the encryption of calls of these kinds."""
    encrypted = np.full(len(kind), Encrypted.UNKNOWN, np.uint8)
    if is_encrypted is not None:
        encrypted[:] = np.where(is_encrypted != 0, Encrypted.YES, Encrypted.NO)
    encrypted[kind == Kind.TLS] = Encrypted.YES
    return encrypted


def _is_tls(head: Words) -> Mask:
    record = (_byte(head, 0) >= TLS_FIRST_TYPE) & (_byte(head, 0) <= TLS_LAST_TYPE)
    return np.asarray(record & (_byte(head, 1) == TLS_MAJOR) & (_byte(head, 2) <= TLS_LAST_MINOR))


def _starts(head: Words, prefix: bytes) -> Mask:
    mask = np.uint64((1 << 8 * len(prefix)) - 1)
    return np.asarray((head & mask) == np.uint64(int.from_bytes(prefix, "little")))


def _byte(words: Words, index: int) -> Words:
    return np.asarray((words >> np.uint64(8 * index)) & np.uint64(0xFF))
