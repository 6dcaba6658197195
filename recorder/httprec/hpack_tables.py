"""Hold the constants of HPACK (RFC 7541, appendices A and B)."""

from __future__ import annotations

STATIC_TABLE: tuple[tuple[bytes, bytes], ...] = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    *((b":status", status) for status in (b"200", b"204", b"206", b"304", b"400", b"404", b"500")),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    *(
        (name, b"")
        for name in (
            *(b"accept-language", b"accept-ranges", b"accept", b"access-control-allow-origin", b"age", b"allow"),
            *(b"authorization", b"cache-control", b"content-disposition", b"content-encoding", b"content-language"),
            *(b"content-length", b"content-location", b"content-range", b"content-type", b"cookie", b"date", b"etag"),
            *(b"expect", b"expires", b"from", b"host", b"if-match", b"if-modified-since", b"if-none-match"),
            *(b"if-range", b"if-unmodified-since", b"last-modified", b"link", b"location", b"max-forwards"),
            *(b"proxy-authenticate", b"proxy-authorization", b"range", b"referer", b"refresh", b"retry-after"),
            *(b"server", b"set-cookie", b"strict-transport-security", b"transfer-encoding", b"user-agent", b"vary"),
            *(b"via", b"www-authenticate"),
        )
    ),
)
"""Names and values of the entries 1 to 61."""

CODE_LENGTHS: tuple[int, ...] = (
    *(13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28),
    *(28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7),
    *(8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19),
    *(13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13),
    *(28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21),
    *(22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23),
    *(22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25),
    *(19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25),
    *(25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30),
)
"""How many bits the Huffman code of each byte has, and last that of the end of a string. The code is canonical: codes
of one length are numbered in the order of what they stand for, and those of the next length go on behind them."""
