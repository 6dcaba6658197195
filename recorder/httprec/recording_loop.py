"""Run a recording: move what the rings hold into the capture, in an order in which no record refers to a missing one.

One round takes the calls that are complete, then drains the stacks (which include at least those that these calls
name), and writes processes, stacks and calls. Calls are handed on as spans of memory. Python looks only at the set of
processes in a span, at the set of its stacks if the recording is in parts, and at each call if calls are printed.

Nothing stops between two parts of a recording: what the rings hold at that moment goes to the next part, together with
the stacks that were drained before their calls.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Callable

from httpbpf.layout import CALL_ROW, COMPLETION_ROW, CONNECTION, ENUMS, PROCESS_ROW, Row
from httpcapture import COUNT_NOT_KNOWN, RING_HEADER, End, Outcome, Process, Stack, StackStatus

from . import host, tuning
from .call_printer import CallPrinter
from .call_text import CALL_CODEC, end_that_counts
from .fast_calls import FastCalls, count_durations
from .http2_heads import Http2Heads
from .http2_streams import Http2Streams
from .http_heads import DEFAULT_RULES, HeadRules
from .kept_heads import KeptHeads
from .languages.known_codes import KnownCodes
from .languages.languages import Language, Languages
from .languages.v8_frames import V8Frames
from .languages.walked_frames import WALKED, WalkedFrames
from .ledger import Ledger
from .modules import Modules
from .parts import Parts
from .processes import Key, Processes, thread_name
from .rows import RowCodec
from .short_calls import ShortCalls
from .stacks import RepeatedStacks, stack_record, unsent_id
from .tls.libraries import TlsLibraries
from .tracer import Tracer

_MIN_SLEEP_NS = 1_000_000  # smaller values come from reading two clocks one after the other
_CONNECTION_CODEC, _COMPLETION_CODEC = RowCodec(CONNECTION), RowCodec(COMPLETION_ROW)
_PROCESS_CODEC = RowCodec(PROCESS_ROW)
_NO_CALLS = FastCalls()
_IDLE, _IN_REQUEST, _IN_RESPONSE = (ENUMS["phase"].index(name) for name in ("IDLE", "REQUEST", "RESPONSE"))
_NOT_RECORDED, _IN_RING = (ENUMS["recorded"].index(name) for name in ("NOT_RECORDED", "IN_RING"))
_NO_COUNTS = dict.fromkeys(
    ("segments", "retransmitted", "out_of_order"), COUNT_NOT_KNOWN
)  # user space has no socket to read
_HEAD_GROWS, _HEAD_KEPT = (ENUMS["head_state"].index(name) for name in ("HEAD_GROWS", "HEAD_KEPT"))
_HTTP1 = ENUMS["protocol"].index("HTTP1")


@dataclass(frozen=True)
class Totals:
    """Hold the figures of the summary at the end. `slow` counts calls that reached the threshold, recorded or lost."""

    calls: int
    slow: int
    fast: FastCalls
    lost: dict[str, int]
    processes: int


def _offset(row: Row, name: str) -> int:
    return next(field.offset for field in row.fields if field.name == name)


_PID_OFFSET = _offset(CALL_ROW, "pid")
_CONNECTION_OFFSET, _SEQUENCE_OFFSET = _offset(CALL_ROW, "connection"), _offset(CALL_ROW, "sequence")
_ENCRYPTED_OFFSET = _offset(CALL_ROW, "is_encrypted")
_STACK_OFFSETS = [_offset(CALL_ROW, name) for name in ("stack", "receive_stack")]


def _process_keys(span: memoryview) -> set[Key]:
    """Return the processes that a span of call rows, with their ring headers, belongs to."""
    stride = RING_HEADER + CALL_ROW.size
    pids = span.cast("I")[(RING_HEADER + _PID_OFFSET) // 4 :: stride // 4]
    starts = span.cast("Q")[(RING_HEADER + _offset(CALL_ROW, "process_start")) // 8 :: stride // 8]
    return set(zip(pids, starts))


def _encrypted_rows(span: memoryview) -> Iterator[int]:
    """Yield the number, from 0, of each encrypted call in a span of call rows with their ring headers."""
    encrypted = span[RING_HEADER + _ENCRYPTED_OFFSET :: RING_HEADER + CALL_ROW.size].tobytes()
    row = encrypted.find(1)
    while row >= 0:
        yield row
        row = encrypted.find(1, row + 1)


def _encrypted_calls(span: memoryview) -> Iterator[tuple[int, int]]:
    """Yield connection and sequence of each encrypted call in such a span."""
    stride = RING_HEADER + CALL_ROW.size
    connections = span.cast("Q")[(RING_HEADER + _CONNECTION_OFFSET) // 8 :: stride // 8]
    sequences = span.cast("I")[(RING_HEADER + _SEQUENCE_OFFSET) // 4 :: stride // 4]
    for row in _encrypted_rows(span):
        yield connections[row], sequences[row]


def _stack_ids(span: memoryview) -> set[int]:
    """Return the IDs of the stacks that a span of call rows, with their ring headers, names."""
    stride = RING_HEADER + CALL_ROW.size
    words = span.cast("Q")
    return {number for offset in _STACK_OFFSETS for number in words[(RING_HEADER + offset) // 8 :: stride // 8]} - {0}


def _encrypting_pids(span: memoryview) -> set[int]:
    """Return the processes of the encrypted calls in such a span."""
    pids = span.cast("I")[(RING_HEADER + _PID_OFFSET) // 4 :: (RING_HEADER + CALL_ROW.size) // 4]
    return {pids[row] for row in _encrypted_rows(span)}


def _rows(span: memoryview, row: Row) -> Iterator[memoryview]:
    """Yield each row of a span of rows with their ring headers."""
    for start in range(RING_HEADER, len(span), RING_HEADER + row.size):
        yield span[start : start + row.size]


def _has_answer(connection: Mapping[str, Any]) -> bool:
    """Return whether the response of a connection's call has begun. Something that may be no response is one if nothing
    else has come (end_call, pairing.h)."""
    if connection["phase"] == _IN_REQUEST:
        return bool(connection["is_tentative"]) and connection["protocol"] != _HTTP1
    return bool(connection["phase"] == _IN_RESPONSE)


class RecordingLoop:
    """Record until a condition ends it. `modules_size` is how many bytes of modules a capture may have. `languages` are
    those of options.LANGUAGES whose frames are asked for."""

    def __init__(
        self,
        tracer: Tracer,
        parts: Parts,
        threshold_ns: int,
        modules_size: int,
        printer: CallPrinter,
        *,
        head_rules: HeadRules = DEFAULT_RULES,
        languages: Collection[str] = (),
        libraries: TlsLibraries | None = None,
    ) -> None:
        self._tracer, self._parts, self._threshold_ns = tracer, parts, threshold_ns
        self._printer = printer
        self._writer = parts.begin()
        self._rotates = parts.bounds.rotates
        self._heads = KeptHeads(self._writer, head_rules, printer.add_head)
        walked = [name for name in WALKED if name in languages and tracer.walks_frames]
        makers: list[Callable[[KnownCodes], Language]] = []
        makers += [partial(WalkedFrames, kernel=tracer, languages=walked)] * bool(walked)
        makers += [V8Frames] * ("node" in languages)
        self._languages = Languages(self._writer, makers)
        self._languages.look_around()
        between = (self._take_stacks,) if makers else ()
        self._waiting: deque[Stack] = deque()  # taken from the ring, to be written
        self._modules = Modules(self._writer, modules_size, *between, rotate=self._rotates)
        self._libraries = libraries
        self._processes = Processes(self._writer, self._modules, self._look_at)
        self._short_calls = ShortCalls(self._writer, tracer.short_rings, rotate=self._rotates)
        self._stacks = RepeatedStacks()
        self._early: list[Stack] = []  # drained before their calls; the next part may need them too
        self._http2_heads = Http2Heads(self._heads, head_rules)
        self._streams = Http2Streams(tracer, self._http2_heads.forget)
        self._fast_streams = FastCalls()  # that user space has ended
        self._ledger = Ledger()
        self._ledger_ns = 0
        self._slept_before_ns = host.slept_ns()  # when this part began

    def run(self, is_over: Callable[[], str | None]) -> Totals:
        """Record until `is_over` returns the reason to end, and return the totals.

        Raises OSError if the capture cannot be written, and RecorderError if it was removed or no part can be created.
        """
        self._tracer.start()
        while True:
            reason = is_over()
            if reason is not None:
                return self._end(reason)
            self._tracer.wait(tuning.ROUND_MS / 1000)
            self._round()
            self._parts.check()
            if self._parts.is_due(self._ledger.recorded, time.monotonic_ns()):
                self._begin_part()

    def _look_at(self, process: Process) -> None:
        """Look for languages and TLS libraries in a process whose maps were read just now."""
        if self._libraries:
            self._libraries.look_at(process)
        self._languages.look_at(process)

    def _round(self) -> None:
        now_ns = time.monotonic_ns()
        self._early = []
        self._heads.begin_round()
        self._drain(now_ns)
        if self._tracer.calls.is_cut or self._tracer.completions.is_cut:
            self._drain(now_ns)  # the rows that wrapped around the end of a ring
        self._printer.print_due(now_ns)
        if now_ns - self._ledger_ns >= tuning.LEDGER_INTERVAL_NS:
            self._write_ledger(now_ns)
        self._writer.tick(now_ns)

    def _drain(self, now_ns: int) -> None:
        self._drain_processes(now_ns)
        completions = self._tracer.completions.rows(COMPLETION_ROW.size)  # first: their calls are in the rings by then
        ends = self._streams.ends()  # the same: with its end, what a stream asked for is forgotten
        self._languages.drain()
        span = self._tracer.calls.rows(CALL_ROW.size)
        self._heads.write(self._tracer.head_rows())
        self._http2_heads.read(self._tracer.block_rows())
        named = _stack_ids(span) if self._rotates else set()
        drained = self._drain_stacks(named, now_ns)
        for stack in self._stacks.missing(named - drained):
            self._record_stack(stack, now_ns)
        self._processes.check_maps(now_ns)
        if span:
            for key in _process_keys(span):
                self._processes.record(key, now_ns)
            self._heads.write_names(_encrypted_calls(span))
            self._writer.calls(span, header=RING_HEADER)
            if self._libraries:
                self._libraries.see_encrypted(_encrypting_pids(span))
            self._ledger.recorded += len(span) // (RING_HEADER + CALL_ROW.size)
            self._printer.hold(_rows(span, CALL_ROW))
            self._tracer.calls.consume(len(span))
        if completions:
            self._writer.completions(completions, header=RING_HEADER)
            self._complete(completions)
            self._tracer.completions.consume(len(completions))
        self._short_calls.drain()
        self._end_streams(ends, now_ns)

    def _end_streams(self, ends: Sequence[bytes], now_ns: int) -> None:
        """Record the calls that the end of an HTTP/2 connection, or its GOAWAY, has ended."""
        fast: list[Mapping[str, Any]] = []
        for stream in self._streams.end(ends):
            self._finish_response(stream)
            if stream["phase"] == _IDLE or not stream["wanted"] or stream["recorded"] != _NOT_RECORDED:
                continue
            if stream["t3"] - stream["t0"] >= self._threshold_ns:
                self._record_open(stream, now_ns)
            else:
                fast.append(stream)
        self._fast_streams = self._fast_streams.plus(self._end_fast_calls(fast))

    def _end_fast_calls(self, calls: Sequence[Mapping[str, Any]]) -> FastCalls:
        """Write calls below the threshold that the kernel has not ended, and return them."""
        for call in calls:
            self._short_calls.add(call)
        return count_durations(end_that_counts(call) - call["t0"] for call in calls)

    def _drain_processes(self, now_ns: int) -> None:
        for row in self._tracer.processes.records():
            process = _PROCESS_CODEC.read(row)
            self._processes.announce((process["pid"], process["process_start"]), now_ns)

    def _drain_stacks(self, named: set[int], now_ns: int) -> set[int]:
        """Write the stacks in the ring and return their IDs. If the recording is in parts, keep the stacks that are not
        in `named`: their calls may belong to the next part."""
        ids = set()
        self._take_stacks()
        while self._waiting:
            stack = self._waiting.popleft()
            self._record_stack(stack, now_ns)
            ids.add(stack.id)
            if self._rotates and stack.id not in named:
                self._early.append(stack)
        return ids

    def _take_stacks(self) -> None:
        """Take the stacks in the ring, and at once read from the memory of processes what names their frames."""
        rows = self._tracer.stacks.records()  # the kernel sent the frames of programs before these
        self._languages.drain()
        self._waiting.extend(self._languages.join(stack_record(row)) for row in rows)

    def _record_stack(self, stack: Stack, now_ns: int) -> None:
        key = (stack.pid, stack.process_start_ns)
        self._processes.record(key, now_ns)
        self._processes.check_stack(key, stack.taken_ns)
        self._languages.write_codes(stack)
        self._writer.stack(stack)
        if self._rotates:
            self._stacks.add(stack)
        self._printer.number_stack(stack.id)

    def _complete(self, span: memoryview) -> None:
        """End the held calls that a span of completion rows, with their ring headers, belongs to."""
        if self._printer.prints:
            for row in _rows(span, COMPLETION_ROW):
                self._printer.complete(_COMPLETION_CODEC.read(row))

    def _write_ledger(self, now_ns: int, left_open: FastCalls = _NO_CALLS) -> None:
        """Write what has changed. `left_open` are calls below the threshold that the kernel has not counted."""
        counts = self._tracer.counters()
        emitted = counts.pop("calls")
        del counts["completions"]
        counts["process_gone"] = self._processes.gone
        counts["process_left_out"] = self._processes.left_out
        counts["module_left_out"] = self._modules.left_out
        counts["stack_not_repeated"] = self._stacks.not_repeated
        counts["connection_not_repeated"] = self._short_calls.not_repeated
        counts["header_block_lost"] += self._http2_heads.given_up
        counts["head_left_out"] = self._heads.left_out
        counts["code_left_out"] = self._languages.left_out
        counts["javascript_not_read"] = self._languages.not_read
        fast = self._tracer.fast_calls().plus(self._fast_streams).plus(left_open)
        lost = self._ledger.update(emitted, counts, fast, now_ns)
        if lost:
            self._writer.lost(lost)
        self._ledger_ns = now_ns

    def _begin_part(self) -> None:
        now_ns = time.monotonic_ns()
        for connection in self._open_connections():
            self._finish_response(connection)
        self._processes.check_maps(now_ns, last=True)
        self._processes.write_jit_maps(now_ns)
        self._write_ledger(now_ns)
        self._writer = self._parts.rotate(self._with_sleep(self._ledger.end_part(now_ns)))
        self._slept_before_ns = host.slept_ns()
        self._processes.begin_part(self._writer)
        self._short_calls.begin_part(self._writer)
        self._stacks.begin_part()
        self._heads.begin_part(self._writer)
        self._languages.begin_part(self._writer)
        self._printer.begin_part()
        for stack in self._early:
            self._record_stack(stack, now_ns)

    def _end(self, reason: str) -> Totals:
        self._tracer.stop()
        self._round()
        now_ns = time.monotonic_ns()
        fast = self._finish_calls(now_ns)
        self._printer.print_rest()
        self._processes.check_maps(now_ns, last=True)
        self._processes.write_jit_maps(now_ns)
        self._write_ledger(now_ns, fast)
        self._writer.end(self._with_sleep(self._ledger.end(reason, now_ns)))
        ledger = self._ledger
        return Totals(ledger.all_recorded, ledger.all_slow, ledger.fast, ledger.all_lost, self._processes.recorded)

    def _open_connections(self) -> Iterator[dict[str, Any]]:
        """Yield what is known of each connection, and of each stream of one."""
        known = set()
        for connection in map(_CONNECTION_CODEC.read, self._tracer.open_connections()):
            known.add(connection["connection"])
            yield connection
        yield from (stream for stream in self._streams.open() if stream["connection"] in known)

    def _with_sleep(self, end: End) -> End:
        slept_ns = host.slept_ns() - self._slept_before_ns
        return replace(end, slept_ns=slept_ns if slept_ns >= _MIN_SLEEP_NS else 0)

    def _finish_calls(self, now_ns: int) -> FastCalls:
        """Record the calls that are slow and still open, and return those that are answered and not slow: the kernel
        counts a call when it has ended. An answered call that has rested since is judged by its last transfer."""
        fast: list[Mapping[str, Any]] = []
        for connection in self._open_connections():
            self._finish_response(connection)
            self._printer.complete(connection)
            is_call = connection["phase"] != _IDLE and not connection["is_doubtful"]
            if not is_call or not connection["wanted"] or connection["recorded"] != _NOT_RECORDED:
                continue
            has_answer = _has_answer(connection)
            duration_ns = (end_that_counts(connection) if has_answer else now_ns) - connection["t0"]
            if duration_ns >= self._threshold_ns:
                ended = {"t2": now_ns, "t3": now_ns, "outcome": Outcome.IN_FLIGHT}  # if answered, by a send under way
                self._record_open({**connection, **ended}, now_ns)
                self._ledger.in_flight += 1
            elif has_answer:
                fast.append(connection)
        return self._end_fast_calls(fast)

    def _finish_response(self, connection: Mapping[str, Any]) -> None:
        """Record how far the response of a recorded call has come."""
        is_recorded = connection["phase"] == _IN_RESPONSE and connection["recorded"] == _IN_RING
        if is_recorded and connection["t3"] != connection["told_t3"]:
            self._writer.completions(_COMPLETION_CODEC.make(connection))

    def _record_open(self, connection: Mapping[str, Any], now_ns: int) -> None:
        """Record a call that no probe will record."""
        pid, tid, start_ns = (connection[name] for name in ("pid", "tid", "process_start"))
        self._processes.record((pid, start_ns), now_ns)
        call = {**connection, **_NO_COUNTS}
        if connection["sequence"] != 1:
            call.update(connect_time=0, handshake_time=0)
        named = connection["comm"] if connection["named_tid"] == tid else b""  # its name at the connection's first call
        call["comm"] = thread_name(pid, tid, start_ns) or named
        call["process"] = thread_name(pid, pid, start_ns) or connection["process"]
        for side, slot in (("stack", connection["slot"]), ("receive_stack", connection["receive_slot"])):
            if connection[f"{side}_status"] == StackStatus.RECORDED:
                stack_row = self._tracer.stack_in(slot)
                stack = replace(stack_record(stack_row), id=unsent_id(stack_row))
                is_walked = side == "stack" and connection["is_walked"]
                stack = self._languages.join_waiting(stack, slot if is_walked else 0)
                self._record_stack(stack, now_ns)
                call[side] = stack.id
        if call["is_encrypted"]:  # before its heads, which replace this
            self._heads.write_names([(call["connection"], call["sequence"])])
        if connection["head_state"] in (_HEAD_GROWS, _HEAD_KEPT):
            self._heads.write_of_call(self._tracer.heads_in(connection["head_slot"]), call)
        self._http2_heads.write_of_call(call)
        row = CALL_CODEC.make(call)
        self._writer.calls(row)
        self._ledger.recorded += 1
        self._ledger.made += 1
        self._printer.hold([memoryview(row)])
