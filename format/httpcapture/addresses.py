"""Write and read the addresses of a capture: 16 bytes of IPv6, or of IPv4 as ::ffff:a.b.c.d, and a port."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

_MAPPED = bytes(10) + b"\xff\xff"  # before an IPv4 address
_PORT = r"(?::(?P<port>[0-9]{1,5}))?"
_ENDPOINT = re.compile(rf"(?:\[(?P<bracketed>[^\]]*)\]|(?P<plain>[^:\[\]]*)){_PORT}|(?P<ipv6>[0-9a-fA-F:.]*)", re.ASCII)


@lru_cache(maxsize=1 << 14)
def address_text(address: bytes) -> str:
    """Return 16 bytes of IPv6 as text, and a v4-mapped address as IPv4. Zeros at the end of the bytes may be
    missing."""
    parsed = IPv6Address(address.ljust(16, b"\0"))
    return str(parsed.ipv4_mapped or parsed)


@lru_cache(maxsize=1 << 10)
def endpoint(host: str, port: int) -> str:
    """Return HOST:PORT, with an IPv6 address in brackets, or HOST if the port is 0."""
    if not port:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_endpoint(text: str) -> tuple[bytes, int | None]:
    """Return the 16 bytes and the port (or None) of HOST[:PORT]. HOST is an IPv4 or IPv6 address; IPv6 needs brackets
    before a port. Raises ValueError."""
    found = _ENDPOINT.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no address")
    address = ip_address(found["bracketed"] or found["plain"] or found["ipv6"])
    port = None if found["port"] is None else int(found["port"])
    if port is not None and not 0 < port < 1 << 16:
        raise ValueError(f"{port} is no port")
    return (address.packed if address.version == 6 else _MAPPED + address.packed), port
