"""Check what is kept of the heads of requests and responses, and that nothing else gets through."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprec.head_options import rules_sentence
from httprec.http_heads import DEFAULT_RULES, KEPT_HEADERS, HeadRules, is_secret_name, redact_request, redact_response
from httprec.http_targets import looks_like_token

NAMES = replace(DEFAULT_RULES, query="names")
FULL = replace(DEFAULT_RULES, query="full", path="full")
UUID = b"5f3a9c0e-93aa-4d0e-8f3b-3f5f0d3b1a11"


def request(target: bytes, rules: HeadRules = DEFAULT_RULES, *lines: bytes, method: bytes = b"GET") -> bytes:
    head = b"\r\n".join([b"%s %s HTTP/1.1" % (method, target), *lines, b"", b""])
    return redact_request(head + b"body", rules)


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        (b"/", b"/"),
        (b"/v2/servers", b"/v2/servers"),
        (b"/v2/servers/" + UUID + b"/action", b"/v2/servers/{...}/action"),
        (b"/users/4711/orders/17", b"/users/4711/orders/17"),
        (b"/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.SflKxwRJSM", b"/reset/{...}"),
        (b"/reset/q7Zp2Lw9Xk4Tn8Vb", b"/reset/{...}"),
        (b"/mail/user@example.org/x", b"/mail/{...}/x"),
        (b"/search?q=secret", b"/search?..."),
        (b"/search?", b"/search"),
        (b"/a#secret", b"/a"),
        (b"/shop;jsessionid=secret/x;y", b"/shop;.../x;..."),
        (b"http://user:secret@example.org:80/a?b", b"http://example.org:80/a?..."),
        (b"http://example.org", b"http://example.org"),
        (b"http://secret@evil.org@example.org/", b"http://example.org/"),
        (b"*", b"*"),
        (b"secret", b"?"),
        (b"/a\xff", b"?"),
        (b"/s%65cret%00", b"/{...}"),
        (b"/" + b"a" * 300, b"/{...}"),
        (b"/%s" % (b"a1" * 20), b"/{...}"),
        (b"/google.pubsub.v1.Publisher/CreateTopic", b"/google.pubsub.v1.Publisher/CreateTopic"),
        (
            b"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
            b"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        ),
    ],
)
def test_of_a_target_the_path_is_kept_without_what_looks_like_a_token(target: bytes, kept: bytes) -> None:
    assert request(target) == b"GET %s HTTP/1.1" % kept


@pytest.mark.parametrize(
    ("target", "kept"), [(b"h.example:443", b"h.example:443"), (b"u:secret@h:443", b"h:443"), (b"/secret", b"?")]
)
def test_of_a_tunnel_the_far_end_is_kept(target: bytes, kept: bytes) -> None:
    assert request(target, method=b"CONNECT") == b"CONNECT %s HTTP/1.1" % kept


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (b"page=1&token=secret", b"page=...&token=..."),
        (b"secret", b"..."),
        (b"a=1&secret&b=", b"a=...&...&b=..."),
        (UUID + b"=1", b"..."),
    ],
)
def test_of_a_query_the_names_can_be_kept(query: bytes, kept: bytes) -> None:
    assert request(b"/a?" + query, NAMES) == b"GET /a?%s HTTP/1.1" % kept


def test_a_whole_target_can_be_kept_but_no_password() -> None:
    kept = request(b"http://u:secret@h/" + UUID + b"?q=" + UUID, FULL)
    assert kept == b"GET http://h/%s?q=%s HTTP/1.1" % (UUID, UUID)


def test_named_header_lines_are_kept_in_their_order() -> None:
    lines = [
        b"X-Request-ID: req-1",
        b"Cookie: secret",
        b"HOST:   example.org:80  ",
        b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"Authorization: Bearer secret",
        b"X-Tenant: secret",
        b"Content-Type: multipart/form-data; boundary=secret",
        b"Content-Length: 4",
    ]
    kept = request(b"/", DEFAULT_RULES, *lines).split(b"\n")
    assert kept[1:] == [
        b"x-request-id: req-1",
        b"host: example.org:80",
        b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"content-type: multipart/form-data",
        b"content-length: 4",
    ]
    more = replace(DEFAULT_RULES, headers=KEPT_HEADERS | {b"x-tenant"})
    assert b"x-tenant: secret" in request(b"/", more, *lines).split(b"\n")


@pytest.mark.parametrize(
    "line",
    [
        b"Host : secret",
        b"Host: a\r\n secret",
        b"Host: a\n\tsecret",
        b"Host: user:secret@h",
        b"Server: se\x1b[2Jcret",
        b"Server: \xffsecret",
        b"Server: " + b"secret" * 60,
        b"Server:",
        b"secret",
        b": secret",
        b"Location: /secret",
        b"Location: https://u:secret@h/",
    ],
)
def test_a_header_line_that_is_not_as_it_should_be_is_left_out(line: bytes) -> None:
    assert request(b"/", DEFAULT_RULES, line, b"Retry-After: 5") == b"GET / HTTP/1.1\nretry-after: 5"


def test_a_response_has_version_status_and_lines() -> None:
    head = b"HTTP/1.1 302 secret\r\nLocation: https://h:8/secret?x\r\nSet-Cookie: secret\r\nServer: nginx\r\n\r\nsecret"
    assert redact_response(head, DEFAULT_RULES) == b"HTTP/1.1 302\nlocation: https://h:8\nserver: nginx"


def test_what_comes_before_the_final_response_is_left_out() -> None:
    final = b"HTTP/1.1 200 OK\r\nServer: a\r\n\r\n"
    interim = b"HTTP/1.1 103 Early Hints\r\nServer: early\r\n\r\n"
    assert redact_response(interim + interim + final, DEFAULT_RULES) == b"HTTP/1.1 200\nserver: a"
    assert redact_response(interim[:-2], DEFAULT_RULES) == b""
    assert redact_response(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", DEFAULT_RULES) == b"HTTP/1.1 101"


@pytest.mark.parametrize("line", [b"GET /a secret HTTP/1.1", b"GET  /secret HTTP/1.1"])
def test_a_target_with_a_blank_is_not_kept(line: bytes) -> None:
    assert redact_request(line + b"\r\n\r\n", FULL) == b"GET ? HTTP/1.1"


@pytest.mark.parametrize("line", [b"AUTH secret", b"CWD /secret", b"GET /secret FTP/9", b"GET /secret HTTP/1.1 "])
def test_a_whole_line_without_a_version_is_no_request(line: bytes) -> None:
    assert redact_request(line + b"\r\n\r\n", FULL) == b""
    assert redact_request(line + b"\r\nHost: a", FULL) == b""


@pytest.mark.parametrize(
    "data", [b"", b"GET", b"GET ", b"\0GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0 a", b"G\xff / "]
)
def test_what_is_no_request_gives_nothing(data: bytes) -> None:
    assert redact_request(data, DEFAULT_RULES) == b""


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 20", b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/2 200 OK\r\n\r\n", b"GET / HTTP/1.1"]
)
def test_what_is_no_response_gives_nothing(data: bytes) -> None:
    assert redact_response(data, DEFAULT_RULES) == b""


LINES = [
    (b"GET /accounts/list/all?token=alpha-secret HTTP/1.1", b"GET /accounts/list/all?... HTTP/1.1"),
    (b"Host: example.org", b"host: example.org"),
    (b"Authorization: beta-secret", None),
    (b"X-Request-Id: request-77", b"x-request-id: request-77"),
    (b"Cookie: gamma-secret", None),
    (b"Server: last", b"server: last"),
]


@pytest.mark.parametrize("rules", [DEFAULT_RULES, NAMES])
def test_wherever_a_head_is_cut_only_whole_lines_are_kept(rules: HeadRules) -> None:
    whole = b"\r\n".join([line for line, _ in LINES] + [b"", b"delta-secret"])
    known = {kept for _, kept in LINES if kept} | {b"...", b"GET /accounts/list/all?token=... HTTP/1.1"}
    known |= {b"GET ? ?", b"GET /accounts/list/all?... ?", b"GET /accounts/list/all?token=... ?"}
    for size in range(len(whole) + 1):
        kept = redact_request(whole[:size], rules)
        assert not kept or set(kept.split(b"\n")) <= known, (size, kept)
        if kept:
            assert kept.endswith(b"\n...") == (size < whole.index(b"\r\n\r\n") + len(b"\r\n\r\n"))


SECRET = b"zQ7wK9xT2vLp4mNs8RbY"
PLACES = st.sampled_from(
    [
        b"GET /a/%s/b HTTP/1.1\r\n\r\n",
        b"GET /a?%s HTTP/1.1\r\n\r\n",
        b"GET /a?b=%s HTTP/1.1\r\n\r\n",
        b"GET /a;%s HTTP/1.1\r\n\r\n",
        b"GET /a#%s HTTP/1.1\r\n\r\n",
        b"GET http://%s@h/ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: Basic %s\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: u:%s@h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n %s\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n%s",
        b"GET / HTTP/1.1\n\n%s",
        b"HTTP/1.1 200 %s\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: %s\r\n\r\n",
        b"HTTP/1.1 302 OK\r\nLocation: http://h/%s\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nServer: %s\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ]
)


@given(PLACES, st.integers(0, 200), st.sampled_from([DEFAULT_RULES, NAMES]))
def test_a_secret_gets_through_nowhere(place: bytes, size: int, rules: HeadRules) -> None:
    head = (place % SECRET)[:size]
    kept = redact_request(head, rules) + redact_response(head, rules)
    assert not any(SECRET[at : at + 4] in kept for at in range(len(SECRET) - 3))


@given(st.binary(max_size=1024), st.sampled_from([DEFAULT_RULES, NAMES, FULL]))
def test_any_bytes_give_printable_lines_or_nothing(data: bytes, rules: HeadRules) -> None:
    for kept in (redact_request(data, rules), redact_response(data, rules)):
        assert re.fullmatch(rb"[ -~\n]*", kept)
        assert len(kept) <= len(data) + len(b" ? ?\n...") + 5 * data.count(b"/") + 4 * data.count(b"&")


@given(st.sampled_from([b"GET ", b"HTTP/1.1 200 OK\r\n", b"GET / HTTP/1.1\r\n"]), st.binary(max_size=300))
def test_any_bytes_behind_a_first_line_give_printable_lines(first: bytes, data: bytes) -> None:
    for kept in (redact_request(first + data, FULL), redact_response(first + data, FULL)):
        assert re.fullmatch(rb"[ -~\n]*", kept)


WORDS = "users list-all v1 v1beta1 my_table index.html app.min.js 2026-11-30 42 x86_64 getUserById server01 node-20.1"


@pytest.mark.parametrize("word", WORDS.split())
def test_words_are_no_tokens(word: str) -> None:
    assert not looks_like_token(word.encode())


TOKENS = (
    "5f3a9c0e93aa4d0e 7c9e6679-7425-40de-944b-e07fc1f90ae7 dGhpcyBpcyBhIHRva2Vu Xk29fL0pQz81 4242424242424242 a=b "
    "kqzvbnmwpxtrlsdfhjgc AKIAIOSFODNN7EXAMPLE ghp_16C7e42F292c6912E7710c838347Ae178B4a 0x5f3a9c0e93aa4d"
)


@pytest.mark.parametrize("token", TOKENS.split())
def test_tokens_are_recognised(token: str) -> None:
    assert looks_like_token(token.encode())


SECRET_NAMES = (
    "Authorization proxy-authorization Cookie set-cookie X-API-Key x-auth-token X-Amz-Security-Token api_key x-secret "
    "X-CSRFToken x-session-id x-goog-iap-jwt-assertion www-authenticate Idempotency-Key"
)


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_names_of_header_lines_with_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", [*(name.decode() for name in KEPT_HEADERS), "x-tenant", "user-agent", "accept", "via"])
def test_other_names_are_not_refused(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("http_bytes", "rules", "said"),
    [
        (0, DEFAULT_RULES, "The heads of requests and responses are not recorded"),
        (
            100,
            replace(NAMES, headers=KEPT_HEADERS | {b"x-tenant", b"dnt"}),
            "The heads of slow calls are recorded: of HTTP/1, up to 100 bytes of requests and 256 of responses, "
            "without values in queries, without what looks like a token in paths, without header lines that may carry "
            "secrets, but with dnt, x-tenant",
        ),
        (
            512,
            FULL,
            "The heads of slow calls are recorded: of HTTP/1, up to 512 bytes of requests and 256 of responses, "
            "without header lines that may carry secrets",
        ),
    ],
)
def test_what_is_kept_is_said_in_a_sentence(http_bytes: int, rules: HeadRules, said: str) -> None:
    assert rules_sentence(http_bytes, rules, has_http2=False) == said
