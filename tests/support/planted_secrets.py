"""Make HTTP messages in which 50 secrets stand wherever a secret may stand, and look for them in a capture.

A message is as long as what the recorder may keep of it, so that each secret reaches the recorder.
"""

from __future__ import annotations

import io
import secrets
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from httpcapture import Calls, Completions, Connections, Reader, Record, ShortCalls, Stack
from httpcapture.frames import FrameReader

REQUEST_BYTES, RESPONSE_BYTES = 1024, 256  # that are kept at most

_QUERIES = ["/list?token={}", "/list?a=1&api_key={}&b=2", "/list?{}", "/list?{}=1", "/list?q=a%20{}#x", "*?{}"]
_TARGETS = [
    *("http://user:{}@proxy.example/list", "http://{}:password@proxy.example/list", "/a;jsessionid={}", "/a;v=1;{}/b"),
    *("/reset/{}", "/reset/{}/confirm", "/v1/{}.json", "/{}"),
]
_LINES = [
    *("Authorization: Bearer {}", "Authorization: Basic {}", "Proxy-Authorization: {}", "X-Api-Key: {}"),
    *("X-Auth-Token: {}", "X-CSRF-Token: {}", "X-Amz-Security-Token: {}", "X-Vault-Token: {}", "User-Agent: {}"),
    *("Referer: https://shop.example/?{}", "Content-Type: text/plain; boundary={}", "X-Anything: {}", "{}: value"),
    *("X-Long: a\r\n {}", "Host: user:{}@a.example", "no colon {}", "X-Forwarded-For: {}", " Host: {}"),
]
_COOKIES = ["Cookie: {}", "Cookie: a=1; session={}; b=2", "Cookie: {}=1", "Cookie2: {}"]
_ANSWER_LINES = [
    *("Set-Cookie: {}", "Set-Cookie: session={}; HttpOnly", "Set-Cookie2: {}", "Location: https://a.example/?code={}"),
    *("Location: /login/{}", "WWW-Authenticate: Digest nonce={}", "X-Anything: {}", "Content-Type: text/html; a={}"),
]


@dataclass
class Planted:
    """Hold requests and their responses, and the secrets in them."""

    exchanges: list[tuple[bytes, bytes]] = field(default_factory=list)
    secrets: list[bytes] = field(default_factory=list)

    def secret(self) -> str:
        """Return a new secret: one that looks random, or a UUID, or an e-mail address."""
        forms = (secrets.token_hex(12), f"{secrets.token_urlsafe(15)}0x", str(uuid.uuid4()), f"{_letters()}7@a.example")
        text = forms[len(self.secrets) % len(forms)]
        self.secrets.append(text.encode())
        return text

    def add(self, request: str, response: str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") -> None:
        """Add one exchange."""
        assert len(request) <= REQUEST_BYTES and len(response) <= RESPONSE_BYTES
        self.exchanges.append((request.encode(), response.encode()))


def _letters() -> str:
    return "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz") for _ in range(12))


def planted() -> Planted:
    """Return exchanges with 50 secrets."""
    made = Planted()
    for target in (*_QUERIES, *_TARGETS):
        made.add(f"GET {target.format(made.secret())} HTTP/1.1\r\nHost: a.example\r\n\r\n")
    for line in (*_LINES, *_COOKIES):
        made.add(f"GET /list HTTP/1.1\r\nHost: a.example\r\n{line.format(made.secret())}\r\nAccept: */*\r\n\r\n")
    for line in _ANSWER_LINES:
        answer = f"HTTP/1.1 302 Found\r\n{line.format(made.secret())}\r\nContent-Length: 0\r\n\r\n"
        made.add("GET /list HTTP/1.1\r\nHost: a.example\r\n\r\n", answer)
    for body in ("password={}", '{{"token": "{}"}}'):
        text = body.format(made.secret())
        made.add(f"POST /login HTTP/1.1\r\nHost: a.example\r\nContent-Length: {len(text)}\r\n\r\n{text}")
        text = body.format(made.secret())
        answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}"
        made.add("GET /list HTTP/1.1\r\nHost: a.example\r\n\r\n", answer)
    for name in ("X-Request-ID", "Authorization"):
        # The second header line is cut where the copy ends, behind the secret.
        head = f"GET /list HTTP/1.1\r\nHost: a.example\r\n{name}: {made.secret()}"
        made.add(head.ljust(REQUEST_BYTES, "z"))
    assert len(made.secrets) == len(set(made.secrets)) == 50
    return made


def records_of(capture: bytes) -> Sequence[Record]:
    """Return the records of a capture."""
    return list(Reader(io.BytesIO(capture)))


def found(wanted: Iterable[bytes], texts: Iterable[bytes]) -> list[bytes]:
    """Return which of these bytes are in any of the texts."""
    whole = b"\n".join(texts)
    return [each for each in wanted if each in whole]


def decompressed(capture: bytes) -> Iterator[bytes]:
    """Yield everything in a capture: its chunks as they are in the file, decompressed, and its records, decoded."""
    yield from FrameReader(io.BytesIO(capture))
    yield from contents(records_of(capture))


def contents(records: Iterable[Record]) -> Iterator[bytes]:
    """Yield what is in records, columns unpacked."""
    for record in records:
        if isinstance(record, (Calls, Completions, Connections, ShortCalls)):
            yield from map(bytes, record.columns.values())
        else:
            yield repr(record).encode()


def outside_of_stacks(capture: bytes) -> Iterator[bytes]:
    """Yield what is in the records of a capture, but for those of stacks."""
    return contents(record for record in records_of(capture) if not isinstance(record, Stack))
