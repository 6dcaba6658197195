"""Check what is read of the first messages of TLS, with those that OpenSSL writes."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprec.tls_hellos import ClientHello, ServerHello, read_client_hello, read_server_hello

CERTIFICATE = Path(__file__).parents[1] / "workload" / "localhost.pem"
KEY_SHARE, GREASE = 51, 0x3A3A
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def hellos(name: str | None, offered: Sequence[str], version: str, chosen: Sequence[str] = ()) -> tuple[bytes, bytes]:
    """Return what an OpenSSL client and its server send first. The server prefers what it has of `chosen`."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
    theirs.load_cert_chain(CERTIFICATE)
    theirs.maximum_version = VERSIONS[version]
    if offered:
        ours.set_alpn_protocols(list(offered))
    if chosen:
        theirs.set_alpn_protocols(list(chosen))
    client = ours.wrap_bio(to_client, to_server, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    request = to_server.read()
    from_client = ssl.MemoryBIO()
    from_client.write(request)
    server = theirs.wrap_bio(from_client, to_client, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    return request, to_client.read()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("api.example.com", ["h2", "http/1.1"]),
        ("localhost", ["http/1.1"]),
        ("a-1.b_c.example", []),
        (None, ["h2"]),
    ],
)
def test_a_client_says_whom_it_calls_and_what_it_offers(name: str | None, offered: list[str], version: str) -> None:
    request, _ = hellos(name, offered, version)

    expected = ClientHello((name or "").encode(), tuple(each.encode() for each in offered))
    assert read_client_hello(request) == expected
    assert read_server_hello(request) == ServerHello()


@pytest.mark.parametrize(
    ("version", "chosen", "expected"),
    [
        ("1.2", ["h2"], ServerHello(b"1.2", b"h2")),
        ("1.2", ["http/1.1"], ServerHello(b"1.2", b"http/1.1")),
        ("1.2", [], ServerHello(b"1.2")),
        ("1.3", ["h2"], ServerHello(b"1.3")),  # which it chooses is encrypted
    ],
)
def test_a_server_says_its_version_and_up_to_1_2_what_it_chooses(
    version: str, chosen: list[str], expected: ServerHello
) -> None:
    _, response = hellos("localhost", ["h2", "http/1.1"], version, chosen)

    assert read_server_hello(response) == expected
    assert read_client_hello(response) == ClientHello()


def parts(request: bytes) -> tuple[bytes, list[bytes]]:
    """Return what comes before the extensions of a ClientHello in one record, and the extensions."""
    body = request[9:]
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    found, end = [], at + 2
    while end < len(body):
        size = 4 + int.from_bytes(body[end + 2 : end + 4], "big")
        found.append(body[end : end + size])
        end += size
    return body[:at], found


def made(before: bytes, extensions: Sequence[bytes], sizes: Sequence[int] = ()) -> bytes:
    """Return a ClientHello in records of these sizes, and a last one."""
    joined = b"".join(extensions)
    body = before + struct.pack(">H", len(joined)) + joined
    message, records = b"\1" + len(body).to_bytes(3, "big") + body, []
    for size in (*sizes, len(message)):
        records.append(b"\x16\3\1" + struct.pack(">H", len(message[:size])) + message[:size])
        message = message[size:]
        if not message:
            break
    return b"".join(records)


def extension(kind: int, size: int) -> bytes:
    return struct.pack(">HH", kind, size) + bytes(size)


REQUEST, _ = hellos("api.example.com", ["h2", "http/1.1"], "1.3")
BEFORE, EXTENSIONS = parts(REQUEST)
EXPECTED = ClientHello(b"api.example.com", (b"h2", b"http/1.1"))


@given(st.permutations([*EXTENSIONS, extension(KEY_SHARE, 1216), extension(GREASE, 1)]), st.lists(st.integers(1, 600)))
def test_extensions_may_be_in_any_order_and_a_message_in_any_records(order: list[bytes], sizes: list[int]) -> None:
    request = made(BEFORE, order, sizes[:20])

    assert len(request) > 1400
    assert read_client_hello(request) == EXPECTED


@given(st.integers(0, len(REQUEST)))
def test_of_a_message_that_is_cut_off_whole_extensions_count(size: int) -> None:
    found = read_client_hello(REQUEST[:size])

    assert found.server_name in (b"", EXPECTED.server_name) and found.protocols in ((), EXPECTED.protocols)
    assert (found == EXPECTED) == (size >= end_of_both())


def end_of_both() -> int:
    """Return how many bytes of the request both extensions need."""
    ends = [REQUEST.index(each) + len(each) for each in EXTENSIONS if b"api.example" in each or b"http/1.1" in each]
    assert len(ends) == 2
    return max(ends)


def name_extension(name: bytes, kind: int = 0) -> bytes:
    entry = struct.pack(">BH", kind, len(name)) + name
    listed = struct.pack(">H", len(entry)) + entry
    return struct.pack(">HH", 0, len(listed)) + listed


@pytest.mark.parametrize("name", [b"", b"a b", b"\x1b[31m", b"a\nb", b"a" * 256, "ä.example".encode()])
def test_what_is_no_name_of_a_host_is_not_known(name: bytes) -> None:
    assert read_client_hello(made(BEFORE, [name_extension(name)])).server_name == b""
    assert read_client_hello(made(BEFORE, [name_extension(b"a.example", 1)])).server_name == b""


def alpn(*names: bytes) -> bytes:
    entries = b"".join(bytes([len(name)]) + name for name in names)
    listed = struct.pack(">H", len(entries)) + entries
    return struct.pack(">HH", 16, len(listed)) + listed


def test_only_names_of_protocols_are_kept_and_few_of_them() -> None:
    offered = [b"\x0a\x0a", b"h2", b"a,b", b"spdy/3.1", *(b"p%d" % number for number in range(20))]

    assert read_client_hello(made(BEFORE, [alpn(*offered)])).protocols == (
        *(b"h2", b"spdy/3.1"),
        *(b"p%d" % number for number in range(6)),
    )


@given(st.binary(max_size=300))
def test_any_bytes_are_read(data: bytes) -> None:
    for request in (data, b"\x16\3\1\1\0" + data, b"\x16\3\1\1\0\1\0\0\xff" + data, REQUEST[:60] + data):
        read_client_hello(request)
        read_server_hello(b"\x16\3\3" + request[3:5] + b"\2" + request[6:])


@given(st.integers(0, len(REQUEST) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_no_name_that_is_none(at: int, byte: int) -> None:
    found = read_client_hello(REQUEST[:at] + bytes([byte]) + REQUEST[at + 1 :])

    assert all(0x20 < each < 0x7F for each in found.server_name + b"".join(found.protocols))
