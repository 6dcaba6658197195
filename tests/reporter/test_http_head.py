"""Check what is read from the heads of requests and responses, also from damaged ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpreport.calls.http_head import (
    NO_REQUEST,
    asking_lines,
    ids,
    parse_request,
    parse_response,
    request_id,
    trace_id,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
HEAD = (
    b"GET /v2/servers/{...}?... HTTP/1.1\nhost: nova:8774\nx-request-id: req-1\n"
    b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)


def test_a_request_has_method_path_query_version_and_authority() -> None:
    head = parse_request(HEAD)

    assert (head.line, head.method) == ("GET /v2/servers/{...}?... HTTP/1.1", "GET")
    assert (head.path, head.query, head.version) == ("/v2/servers/{...}", "?...", "HTTP/1.1")
    assert (head.authority, head.cut) == ("nova:8774", False)


@pytest.mark.parametrize(
    ("line", "authority", "path"),
    [
        (b"GET http://api:80/a?... HTTP/1.1", "api:80", "/a"),  # a proxy's client names the authority (RFC 9112, 3.2.2)
        (b"GET https://api HTTP/1.1", "api", "/"),
        (b"GET https://api?... HTTP/1.1", "api", ""),
        (b"CONNECT api:443 HTTP/1.1", "api:443", ""),
        (b"OPTIONS * HTTP/1.1", "h", ""),
        (b"POST /pkg.Service/Method HTTP/2", "h", "/pkg.Service/Method"),
        (b"? ? HTTP/2", "h", ""),
        (b"GET //a HTTP/1.1", "h", "//a"),
    ],
)
def test_the_target_of_a_request_may_have_any_of_its_four_forms(line: bytes, authority: str, path: str) -> None:
    head = parse_request(line + b"\nhost: h")

    assert (head.authority, head.path) == (authority, path)


@pytest.mark.parametrize("line", [b"", b"GET", b"GET /a", b"GET  /a HTTP/1.1", b"GET /a b HTTP/1.1", b"\n\n", b"\0"])
def test_a_line_that_is_no_request_line_tells_nothing(line: bytes) -> None:
    head = parse_request(line)

    assert (head.method, head.path, head.version, head.authority) == ("", "", "", "")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"HTTP/1.1 200", 200),
        (b"HTTP/2 404", 404),
        (b"HTTP/1.1 ?", 0),
        (b"HTTP/1.1 099", 0),
        (b"HTTP/1.1 20\xd9\xa1", 0),
    ],
)
def test_a_response_has_a_status_of_three_digits(text: bytes, status: int) -> None:
    assert parse_response(text).status == status


def test_a_head_that_went_on_says_so() -> None:
    assert parse_request(b"GET / HTTP/1.1\nhost: a\n...").cut
    assert parse_response(b"HTTP/1.1 200\n...").cut
    assert parse_request(b"...") == NO_REQUEST._replace(cut=True)


def test_the_ids_of_a_request_are_those_of_its_headers() -> None:
    request, response = parse_request(HEAD), parse_response(b"HTTP/1.1 200\nx-openstack-request-id: req-2")

    assert request_id(request, response) == "req-1"
    assert request_id(NO_REQUEST, response) == "req-2"
    assert trace_id(request.headers) == TRACE
    assert list(ids(request.headers)) == ["req-1", TRACE]
    assert list(ids(response.headers)) == ["req-2"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1", "80f198ee56343ba864fe8b2a57d3eff7"),
        (b"b3: 0", ""),
        (b"x-b3-traceid: 463ac35c9f6413ad", "463ac35c9f6413ad"),
        (b"traceparent: 00-xyz-1-01", ""),
    ],
)
def test_a_trace_id_comes_from_any_of_three_headers(line: bytes, expected: str) -> None:
    assert trace_id(parse_request(b"GET / HTTP/1.1\n" + line).headers) == expected


@given(st.binary(max_size=600))
def test_whatever_the_text_holds_every_result_is_printable(text: bytes) -> None:
    request, response = parse_request(text), parse_response(b"HTTP/1.1 200\n" + text)
    texts = [*request[:6], response.version, request_id(request, response), trace_id(request.headers)]

    assert all(each.isprintable() for each in texts)
    assert all(each.isprintable() for head in (request, response) for line in head.headers for each in line)
    assert not request.path or request.path.startswith("/")


token = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)


@given(token, st.lists(token), st.booleans(), st.dictionaries(token.map(str.lower), token), st.booleans())
def test_a_well_formed_head_is_read_as_it_was_written(
    method: str, segments: list[str], has_query: bool, headers: dict[str, str], cut: bool
) -> None:
    path, query = "/" + "/".join(segments), "?..." if has_query else ""
    lines = [f"{method} {path}{query} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]

    head = parse_request("\n".join([*lines, *(["..."] if cut else [])]).encode())

    assert (head.line, head.cut) == (lines[0], cut)
    assert method == "CONNECT" or (head.method, head.path, head.query) == (method, path, query)
    assert dict(head.headers) == headers


@given(
    st.lists(
        st.sampled_from([b"GET /a HTTP/1.1", b"host: a", b"host:b", b"content-type: application/grpc", b"x: host: c"])
    )
)
def test_the_lines_that_ask_tell_what_is_asked_for(lines: list[bytes]) -> None:
    whole, asking = parse_request(b"\n".join(lines)), parse_request(asking_lines(b"\n".join(lines)))

    assert whole[:6] == asking[:6]
    assert whole.is_grpc == asking.is_grpc
