"""Format the three lines that are printed for each call while it is recorded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from httpbpf.layout import CALL_ROW, ENUMS
from httpcapture import Outcome, Role
from httpcapture.addresses import address_text
from httpcapture.printable import comm

from . import tuning
from .rows import RowCodec

CALL_CODEC = RowCodec(CALL_ROW)
_BY_FIRST_BYTE = ENUMS["judged_by"].index("JUDGED_BY_FIRST_BYTE")


def end_that_counts(call: Mapping[str, Any]) -> int:
    """Return the time in ns to which a call's duration is measured: its last transfer, or the first one of its response
    if the end of the response cannot be told. `call` has the fields of a call row or a connection."""
    return int(call["t2"] if call["judged_by"] == _BY_FIRST_BYTE else call["t3"])


class PrintedCall(NamedTuple):
    """Hold what is printed of one call: as far as it is known, or of the whole call."""

    connection: int
    sequence: int
    begin_ns: int  # t0
    end_ns: int  # t3, or t2 if that decides
    size: int  # bytes, in both directions
    awaits_end: bool  # whether a completion may follow that changes the two above
    pid: int
    comm: str
    stack_number: int
    source: str
    destination: str
    port: int  # of the destination
    process: str = ""
    role: int = Role.UNKNOWN
    outcome: int = Outcome.ANSWERED
    is_encrypted: bool = False

    @property
    def text(self) -> str:
        """Return the three lines of the call."""
        return (
            f"PID: {self.pid}, Comm: {self.comm}, Stack ID: {self.stack_number}\n"
            f"Duration: {(self.end_ns - self.begin_ns) / 1e6:.2f} ms, Size: {self.size} bytes\n"
            f"Src IP: {self.source}, Dst IP: {self.destination}, Dst Port: {self.port}\n"
        )


class CallText:
    """Make printed calls. The recorder does not unwind and cannot recognise equal stack traces, so the Stack ID that it
    prints is the number of the stack's record in the capture, which httpreport repeats as `Record`."""

    def __init__(self) -> None:
        self._stack_numbers: OrderedDict[int, int] = OrderedDict()  # by stack ID, for the newest stacks
        self._last_number = 0

    def number_stack(self, stack: int) -> None:
        """Give the next number to a stack that is written, by its ID, unless it has one."""
        if stack not in self._stack_numbers:
            self._last_number += 1
            self._stack_numbers[stack] = self._last_number
            if len(self._stack_numbers) > tuning.MAX_NUMBERED_STACKS:
                self._stack_numbers.popitem(last=False)

    def read(self, row: bytes | memoryview) -> PrintedCall:
        """Return what is printed of one call row."""
        call = CALL_CODEC.read(row)
        local, peer = address_text(call["local_address"]), address_text(call["peer_address"])
        is_server = call["role"] == Role.SERVER
        source, destination = (peer, local) if is_server else (local, peer)
        return PrintedCall(
            connection=call["connection"],
            sequence=call["sequence"],
            begin_ns=call["t0"],
            end_ns=end_that_counts(call),
            size=call["sent"] + call["received"],
            awaits_end=call["outcome"] == Outcome.ANSWERED and call["judged_by"] != _BY_FIRST_BYTE,
            pid=call["pid"],
            comm=comm(call["comm"]),
            stack_number=self._stack_numbers.get(call["stack"], 0),
            source=source,
            destination=destination,
            port=call["local_port" if is_server else "peer_port"],
            process=comm(call["process"]),
            role=call["role"],
            outcome=call["outcome"],
            is_encrypted=bool(call["is_encrypted"]),
        )
