"""Make captures as a recorder writes them: some calls at a time, with their heads, and ends of responses later; and
follow them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from httpcapture import End, Heads, Reader, Writer
from httpreport.calls.filters import Filters, Selection
from httpreport.follow.state import READ, State, advance
from support.capture_samples import write
from support.head_records import Asked, head_records
from support.recordings import META, MS, STARTED_NS, Row, completion

EVERY_CALL = replace(META, threshold_ns=0, heads="paths")


def written_in_turns(
    turns: Sequence[Sequence[Asked]], ends: Mapping[int, Sequence[tuple[Asked, int]]], *, has_end: bool = True
) -> bytes:
    """Return a capture whose chunks are written after each turn: calls and their heads; and of each turn in `ends` the
    calls whose response was seen to end so many ns after its first byte."""
    calls = [call for turn in turns for call in turn]
    heads = head_records(calls)
    stream = io.BytesIO()
    writer = Writer(stream, EVERY_CALL)
    for text in heads[:-1]:
        write(writer, text)
    first = 0
    for number, turn in enumerate(turns):
        writer.calls(b"".join(call.row.packed() for call in turn))
        writer.completions(b"".join(completion(call.row, after, 100, 200) for call, after in ends.get(number, ())))
        last = first + len(turn)
        for whole in heads[-1:] if turn else ():
            assert isinstance(whole, Heads)
            write(writer, _some(whole, first, last))
        writer.flush()
        first = last
    if has_end:
        writer.end(End(STARTED_NS + 10_000 * MS, "SIGINT", True, len(calls), len(calls), 0, {}))
    return stream.getvalue()


def asked(number: int, path: str, milliseconds: int, **fields: Any) -> Asked:
    """Return a call that asks for a path, or of which that is not known."""
    request = f"GET {path} HTTP/1.1\nhost: api:80".encode() if path else b""
    row = {"sequence": number, "duration_ns": milliseconds * MS, "start_ns": number * MS, **fields}
    return Asked(Row(**row), request)


def states(data: bytes, sizes: Sequence[int] = (), milliseconds: float = 0, **filters: Any) -> list[State]:
    """Return the state after each of these sizes of a file, and at last of the whole."""
    file = io.BytesIO(data)
    reader = Reader(file, "run.cap")
    state = State.of(reader.meta, Selection.of(reader.meta, milliseconds, (), Filters(**filters)))
    found = []
    for size in [*sorted(sizes), len(data)]:
        file.seek(0)
        file.truncate()
        file.write(data[:size])
        state = advance(state, list(reader.more(*READ)))
        found.append(state)
    return found


def _some(heads: Heads, first: int, last: int) -> Heads:
    columns = ((heads.connections, 8), (heads.sequences, 4), (heads.requests, 4), (heads.responses, 4))
    return Heads(*(column[first * size : last * size] for column, size in columns))
