"""Define the options that say what is recorded of the heads of requests and responses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Callable

import click

from httpbpf.layout import RESPONSE_HEAD_BYTES

from .http_heads import KEPT_HEADERS, HeadRules, is_secret_name
from .http_targets import PATHS, QUERIES
from .options import DEFAULTS, declarations

MAX_HTTP_BYTES = 1024
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")  # RFC 9110, 5.6.2
_LEFT_OUT_OF_QUERIES = {"hidden": ["queries"], "names": ["values in queries"], "full": []}
_LEFT_OUT_OF_PATHS = {"redacted": ["what looks like a token in paths"], "full": []}

head_options: Callable[[Any], Any] = declarations(
    [
        click.option(
            "--http-bytes",
            metavar="N",
            type=click.IntRange(min=0, max=MAX_HTTP_BYTES),
            default=DEFAULTS.http_bytes,
            show_default=True,
            help="How much of the head of each HTTP/1 request the kernel keeps until its call is slow; 0 keeps neither "
            "requests nor responses, also of HTTP/2. The recorder reduces heads before it writes them.",
        ),
        click.option(
            "--http2-headers",
            type=click.Choice(["on", "off"]),
            default="on",
            show_default=True,
            help="Whether to decode the header blocks of HTTP/2 in clear text, from which the heads of its calls are "
            "made: for this the recorder gets those of all calls. The kernel keeps 3.5 MiB for this.",
        ),
        click.option(
            "--http-query",
            type=click.Choice(QUERIES),
            default=QUERIES[0],
            show_default=True,
            help="What to write of the query in a URL: that there is one, the names in it, or all of it.",
        ),
        click.option(
            "--http-path",
            type=click.Choice(PATHS),
            default=PATHS[0],
            show_default=True,
            help="What to write of the path in a URL: all but what looks like a token, or all of it.",
        ),
        click.option(
            "--http-header",
            "http_headers",
            metavar="NAME",
            multiple=True,
            callback=lambda context, parameter, names: [_checked(name) for name in names],
            help="Write header lines of this name too. Those that carry secrets are refused. May be repeated.",
        ),
        click.option(
            "--tls",
            "reads_tls",
            is_flag=True,
            help="Keep the heads of HTTP/1 in TLS too, and tell the streams of HTTP/2 in TLS apart, of programs that "
            "use OpenSSL 1.1.1 or 3, as a shared library or in an executable with its symbols, such as node; or "
            "GnuTLS, as a shared library. The kernel then runs a program in each of its reads and writes, and a "
            "process of httprec keeps cap_sys_admin. At the end it prints which processes it could not read. The "
            "kernel keeps 6 MiB for it.",
        ),
    ]
)


def _checked(name: str) -> bytes:
    """Return the name of a header line in lower case. Raises click.BadParameter if such lines cannot be kept."""
    if not _NAME.fullmatch(name):
        raise click.BadParameter(f"{name!r} is no name of a header line.")
    if is_secret_name(name):
        raise click.BadParameter(f"{name} lines carry secrets, which a capture never has.")
    return name.lower().encode()


def head_rules(query: str, path: str, headers: Sequence[bytes]) -> HeadRules:
    """Return what is kept of heads, from the values of the options."""
    return HeadRules(query, path, KEPT_HEADERS | set(headers))


def rules_text(http_bytes: int, rules: HeadRules, *, has_http2: bool = False, reads_tls: bool = False) -> str:
    """Return what is kept of heads as a phrase for people, without a subject. `has_http2` says whether any of HTTP/2
    are, `reads_tls` whether those in TLS are read."""
    if not http_bytes:
        return "none"
    more = sorted(name.decode() for name in rules.headers - KEPT_HEADERS)
    where = "of HTTP/1, in TLS too" if reads_tls else "of HTTP/1"
    sizes = f"{where}, up to {http_bytes} bytes of requests and {RESPONSE_HEAD_BYTES} of responses"
    sizes += ", of HTTP/2 in clear text whole heads" if has_http2 else ""
    left_out = [
        *_LEFT_OUT_OF_QUERIES[rules.query],
        *_LEFT_OUT_OF_PATHS[rules.path],
        "header lines that may carry secrets",
    ]
    kept = f", but with {', '.join(more)}" if more else ""
    return "".join([sizes, *(f", without {what}" for what in left_out), kept])


def rules_sentence(http_bytes: int, rules: HeadRules, *, has_http2: bool = False, reads_tls: bool = False) -> str:
    """Say the same as a sentence of the recorder."""
    if not http_bytes:
        return "The heads of requests and responses are not recorded"
    text = rules_text(http_bytes, rules, has_http2=has_http2, reads_tls=reads_tls)
    return f"The heads of slow calls are recorded: {text}"
