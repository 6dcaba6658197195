"""Decode strings in the Huffman code of HPACK (RFC 7541, 5.2), four bits at a time."""

from __future__ import annotations

from typing import NamedTuple

from .hpack_tables import CODE_LENGTHS

_END = 256  # stands for the end of a string, and never occurs in one
_MOST_PADDING = 7  # bits


class HuffmanError(ValueError):
    """Say that a string is not in this code."""


class _Step(NamedTuple):
    """Say what four bits do: to which node of the tree they lead, and which byte they complete, if any."""

    node: int
    text: bytes


def _tree() -> list[list[int]]:
    """Return for each inner node, of which 0 is the root, where a bit 0 and a bit 1 lead: to a node or, if negative, to
    the inverted number of a symbol."""
    nodes = [[0, 0]]
    code, length_before = 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(CODE_LENGTHS)):
        code <<= length - length_before
        node = 0
        for place in range(length - 1, 0, -1):
            bit = code >> place & 1
            if not nodes[node][bit]:
                nodes.append([0, 0])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]
        nodes[node][code & 1] = ~symbol
        code, length_before = code + 1, length
    return nodes


_NODES = _tree()


def _padding() -> frozenset[int]:
    """Return the nodes at which a string may end: padding is the beginning of the code of its end."""
    nodes = [0]
    for _ in range(_MOST_PADDING):
        nodes.append(_NODES[nodes[-1]][1])
    return frozenset(nodes)


_LAST_NODES = _padding()


class _Steps(dict[int, _Step]):
    """Make the steps that are used: by 16 times the number of a node, and four bits."""

    def __missing__(self, key: int) -> _Step:
        node, text = key >> 4, b""
        for place in (3, 2, 1, 0):
            node = _NODES[node][key >> place & 1]
            if node == ~_END:
                raise HuffmanError
            if node < 0:
                text += bytes([~node])
                node = 0
        step = self[key] = _Step(node, text)
        return step


_STEPS = _Steps()


def decode_huffman(coded: bytes) -> bytes:
    """Return the text. Raises HuffmanError."""
    node, texts = 0, []
    for byte in coded:
        node, text = _STEPS[node << 4 | byte >> 4]
        node, more = _STEPS[node << 4 | byte & 15]
        texts.append(text + more)
    if node not in _LAST_NODES:
        raise HuffmanError
    return b"".join(texts)
