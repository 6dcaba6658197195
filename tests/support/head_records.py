"""Make the records that say which heads calls have, as the recorder writes them: each text once."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from httpcapture import Calls, Heads, HeadText, Record
from httpreport.calls.call_heads import CallHeads
from support.recordings import Row


class Asked(NamedTuple):
    """Hold a call and the heads of its request and response, empty if they are not known."""

    row: Row
    request: bytes = b""
    response: bytes = b""


def head_records(calls: Sequence[Asked]) -> list[Record]:
    """Return the texts of all heads, and then which calls have them."""
    texts = dict.fromkeys(text for call in calls for text in (call.request, call.response) if text)
    numbers = {b"": 0, **{text: 10 * place for place, text in enumerate(texts, 1)}}
    columns = zip(
        *((c.row.connection, c.row.sequence, numbers[c.request], numbers[c.response]) for c in calls),
    )
    packed = [struct.pack(f"<{len(calls)}{kind}", *column) for kind, column in zip("QIII", columns)]
    heads: list[Record] = [HeadText(numbers[text], text) for text in texts]
    return [*heads, Heads(*packed)] if calls else heads


def bytes_of(records: Sequence[Any]) -> bytes:
    """Return everything that records hold, columns unpacked."""
    columns = (bytes(value) for calls in records if isinstance(calls, Calls) for value in calls.columns.values())
    return b"".join(columns) + repr([record for record in records if not isinstance(record, Calls)]).encode()


def heads_of(heads: CallHeads, connection: int, sequence: int) -> tuple[bytes, bytes]:
    """Return the heads of the request and of the response of one call."""
    columns = {"connection": np.array([connection], np.uint64), "sequence": np.array([sequence], np.uint32)}
    request, response = heads.find(columns, 1)
    return heads.texts[request[0]], heads.texts[response[0]]
