"""Check that an address is written as Python's ipaddress writes it, and that what is written can be read again."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture.addresses import address_text, endpoint, parse_endpoint


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(0, 65535))
def test_what_is_written_is_read_again(address: IPv4Address | IPv6Address, port: int) -> None:
    packed = address.packed if address.version == 6 else IPv6Address(f"::ffff:{address}").packed
    text = endpoint(address_text(packed), port)
    assert parse_endpoint(text) == (packed, port or None)


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [("10.0.0.5", 80, "10.0.0.5:80"), ("::1", 80, "[::1]:80"), ("::1", 0, "::1"), ("10.0.0.5", 0, "10.0.0.5")],
)
def test_an_ipv6_address_is_in_brackets_before_a_port(host: str, port: int, expected: str) -> None:
    assert endpoint(host, port) == expected


@pytest.mark.parametrize("text", ["", "nova", "10.0.0.5:0", "10.0.0.5:65536", "[::1", "::1]:80", "10.0.0.5:", "[]:80"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_endpoint(text)
