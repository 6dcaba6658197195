"""Write which heads the calls of a recording have. Each head is reduced (http_heads.py) before it is written, and a
head that many calls have is written once in each part. What TLS says before it encrypts (server_names.py) takes the
place of the heads that it hides."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, NamedTuple

from httpbpf.layout import HEAD_ROW
from httpcapture import MAX_HEAD_TEXT, MAX_HEADS, BeyondLimitError, Heads, HeadText, Writer

from . import tuning
from .http_heads import HeadRules, redact_request, redact_response
from .rows import RowCodec
from .server_names import ServerNames

_CODEC = RowCodec(HEAD_ROW)


class Head(NamedTuple):
    """Hold the reduced head of a request or response; an empty text is none."""

    connection: int
    sequence: int
    is_response: bool
    text: bytes


class KeptHeads:
    """Write heads into the parts of one recording, and count in `left_out` those for which a part had no room. `see`
    is called with each head that is written."""

    def __init__(self, writer: Writer, rules: HeadRules, see: Callable[[Head], None] = lambda _: None) -> None:
        self.left_out = 0
        self._see = see
        self._rules = rules
        self._reduced: OrderedDict[tuple[bool, bytes], bytes] = OrderedDict()  # the most recently used last
        self._names = ServerNames()
        self._before: list[Head] = []  # of the last round, whose calls may be in this one
        self._of_round: list[Head] = []  # their calls may be in the next part
        self._begin(writer)

    def _begin(self, writer: Writer) -> None:
        self._writer = writer
        self._numbers: OrderedDict[bytes, int] = OrderedDict()  # by text, the most recently used last
        self._last_number = 0

    def begin_part(self, writer: Writer) -> None:
        """Begin another capture. The heads of the last round are written again: their calls may be in this one."""
        self._begin(writer)
        self._write(self._of_round)

    def begin_round(self) -> None:
        """Begin another round of the recording: the calls of all heads before the last round have been written."""
        self._before, self._of_round = self._of_round, []

    def write(self, rows: Iterable[bytes]) -> None:
        """Write the heads in rows of the kernel (struct head_row with the bytes behind it), and remember what TLS
        connections said."""
        heads = []
        for row in rows:
            fields = _CODEC.read(row)
            if fields["is_hello"]:
                data, from_server = _data(row, fields), bool(fields["is_response"])
                self._names.add(fields["connection"], fields["sequence"], data, from_server=from_server)
            else:
                heads.append(self._head(row))
        self.add(heads)

    def add(self, heads: Sequence[Head]) -> None:
        """Write heads."""
        self._of_round += heads
        self._write(heads)

    def write_names(self, calls: Iterable[tuple[int, int]]) -> None:
        """Write what both ends said of calls in TLS, which are given by connection and sequence, unless their requests
        were read."""
        if not self._names:
            return
        columns = array("Q"), array("I"), array("I"), array("I")
        heads = (head for head in (*self._before, *self._of_round) if head.text and not head.is_response)
        read = {(head.connection, head.sequence) for head in heads}
        for connection, sequence in (call for call in calls if call not in read):
            number = self._number(self._names.text(connection))
            for column, value in zip(columns, (connection, sequence, number, 0) if number else ()):
                column.append(value)
        self._write_columns(columns)

    def write_of_call(self, rows: Iterable[bytes], call: Mapping[str, Any]) -> None:
        """Write those of the heads that are of a call, which has the fields of a call row."""
        heads = map(self._head, rows)
        key = call["connection"], call["sequence"]
        self._write(head for head in heads if (head.connection, head.sequence) == key)

    def _head(self, row: bytes) -> Head:
        fields = _CODEC.read(row)
        is_response = bool(fields["is_response"])
        return Head(fields["connection"], fields["sequence"], is_response, self._text(is_response, _data(row, fields)))

    def _write(self, heads: Iterable[Head]) -> None:
        connections, sequences, requests, responses = array("Q"), array("I"), array("I"), array("I")
        for head in heads:
            number = self._number(head.text)
            if not number:
                continue
            self._see(head)
            connections.append(head.connection)
            sequences.append(head.sequence)
            requests.append(0 if head.is_response else number)
            responses.append(number if head.is_response else 0)
        self._write_columns((connections, sequences, requests, responses))

    def _write_columns(self, columns: Sequence[array[int]]) -> None:
        count = len(columns[0])
        for start in range(0, count, MAX_HEADS):
            rows = slice(start, start + MAX_HEADS)
            try:
                self._writer.heads(Heads(*(column[rows].tobytes() for column in columns)))
            except BeyondLimitError:
                self.left_out += min(MAX_HEADS, count - start)

    def _text(self, is_response: bool, data: bytes) -> bytes:
        """Return the reduced head; empty if the bytes are no head."""
        key = is_response, data
        text = self._reduced.get(key)
        if text is None:
            text = self._reduced[key] = (redact_response if is_response else redact_request)(data, self._rules)
            if len(self._reduced) > tuning.MAX_REDUCED_HEADS:
                self._reduced.popitem(last=False)
        else:
            self._reduced.move_to_end(key)
        return text

    def _number(self, text: bytes) -> int:
        """Return the number of a text in this part, after it was written; 0 if there is none."""
        number = self._numbers.get(text, 0)
        if number or not text or len(text) > MAX_HEAD_TEXT:
            return number
        try:
            self._writer.head_text(HeadText(self._last_number + 1, text))
        except BeyondLimitError:
            self.left_out += 1
            return 0
        self._last_number += 1
        self._numbers[text] = self._last_number
        if len(self._numbers) > tuning.MAX_NUMBERED_HEADS:
            self._numbers.popitem(last=False)
        return self._last_number


def _data(row: bytes, fields: Mapping[str, Any]) -> bytes:
    """Return the bytes behind a head_row."""
    return row[HEAD_ROW.size : HEAD_ROW.size + fields["size"]]
