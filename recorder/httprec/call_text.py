"""Format the lines that are printed for each call while it is recorded."""

from __future__ import annotations

from collections import OrderedDict

from httpbpf.layout import CALL_ROW
from httpcapture import Role
from httpcapture.addresses import address_text
from httpcapture.printable import comm

from . import tuning
from .rows import RowCodec

CALL_CODEC = RowCodec(CALL_ROW)


class CallText:
    """Format calls. The recorder does not unwind and cannot recognise equal stack traces, so the Stack ID that it
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

    def describe(self, row: memoryview) -> str:
        """Return three lines for one call row."""
        call = CALL_CODEC.read(row)
        local, peer = address_text(call["local_address"]), address_text(call["peer_address"])
        source, destination, port = local, peer, call["peer_port"]
        if call["role"] == Role.SERVER:
            source, destination, port = peer, local, call["local_port"]
        return (
            f"PID: {call['pid']}, Comm: {comm(call['comm'])}, "
            f"Stack ID: {self._stack_numbers.get(call['stack'], 0)}\n"
            f"Duration: {(call['t2'] - call['t0']) / 1e6:.2f} ms, Size: {call['sent'] + call['received']} bytes\n"
            f"Src IP: {source}, Dst IP: {destination}, Dst Port: {port}\n"
        )
