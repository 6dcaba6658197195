"""Kill recorders at random moments: the rest must be readable and lack at most the last second.

The recorder's own loop runs in a child process, on a synthetic ring and with a clock of its own that advances by 100 ms
per round. So how much may be missing does not depend on the speed of this machine.
"""

from __future__ import annotations

import itertools
import mmap
import os
import random
import signal
import struct
import time
from pathlib import Path
from unittest import mock

from httpbpf.program import Sizes
from httpcapture import Calls, Connections, ShortCalls, Stack, open_capture
from httprec import host
from httprec.call_printer import CallPrinter
from httprec.parts import Bounds, Parts
from httprec.recording_loop import RecordingLoop
from support.synthetic import SyntheticTracer

ROUND_NS = 100_000_000
OPEN_ROUNDS = 10  # a second
MOST_CALLS = 60  # a round
MOST_ROUNDS = 4096


class Progress:
    """Share with the child how many rounds it has done, and how many calls it was given before each of them."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 8 * (MOST_ROUNDS + 1))

    @property
    def rounds(self) -> int:
        number: int = struct.unpack_from("<Q", self._shared)[0]
        return number

    def calls_before(self, round_: int) -> int:
        number: int = struct.unpack_from("<Q", self._shared, 8 * (round_ + 1))[0]
        return number

    def publish(self, rounds: int, calls: int) -> None:
        struct.pack_into("<Q", self._shared, 8 * (rounds + 1), calls)
        struct.pack_into("<Q", self._shared, 0, rounds)


def record(path: Path, progress: Progress, draw: random.Random) -> None:
    """Record calls 1, 2, 3, ..., each with a stack of its own number, until killed. After MOST_ROUNDS, which it reaches
    on a busy machine, wait and record no more."""
    tracer, numbers, rounds = SyntheticTracer(), itertools.count(1), itertools.count()
    clock = calls = 0

    def now() -> int:
        return clock

    def is_over() -> None:
        nonlocal clock, calls
        done = next(rounds)
        progress.publish(done, calls)
        if done == MOST_ROUNDS - 1:
            signal.pause()
        clock += ROUND_NS
        for number in itertools.islice(numbers, draw.randrange(MOST_CALLS)):
            tracer.send_stack(number, draw.choice((b"", bytes(64))))
            tracer.send_call(number, number)
            tracer.send_short_call(number, told=False)
            calls = number

    meta = host.meta(0, [], "fexit", Sizes(short_ring_pages=1))
    clock = meta.started_monotonic_ns
    with (
        mock.patch("time.monotonic_ns", now),
        Parts(str(path), Bounds(), lambda: meta, overwrite=False, print_line=print) as parts,
    ):
        RecordingLoop(tracer, parts, 0, 0, CallPrinter(None)).run(is_over)


def kill_one(path: Path, draw: random.Random) -> tuple[int, int]:
    """Kill one recorder, check what it left, and return how many calls were recorded and given."""
    progress, seed, after = Progress(), draw.random(), draw.random() * 0.05
    child = os.fork()
    if not child:
        try:
            record(path, progress, random.Random(seed))
        finally:
            os._exit(1)
    while not progress.rounds:
        time.sleep(0.001)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), f"the recorder ended by itself: {status}"
    return check(path, progress)


def check(path: Path, progress: Progress) -> tuple[int, int]:
    """Check that everything but the last second is there, each call once and with its stack, and each call below the
    threshold with its connection."""
    calls: list[int] = []
    short: list[int] = []
    stacks, connections = set[int](), set[int]()
    with open_capture(path) as reader:
        for record in reader:  # raises CorruptRecord where a chunk is not whole
            if isinstance(record, Calls):
                named = list(record.columns["stack"].cast("Q"))
                assert stacks.issuperset(named)
                calls += record.columns["connection"].cast("Q")
            elif isinstance(record, Stack):
                stacks.add(record.id)
            elif isinstance(record, Connections):
                connections.update(record.columns["connection"].cast("Q"))
            elif isinstance(record, ShortCalls):
                short += record.columns["connection"].cast("Q")
                assert connections.issuperset(short)
        assert reader.cut_off
    rounds = progress.rounds
    assert sorted(calls) == list(range(1, len(calls) + 1))  # a batch may have them in another order
    assert sorted(short) == list(range(1, len(short) + 1))
    assert min(len(calls), len(short)) >= progress.calls_before(max(rounds - OPEN_ROUNDS, 0))
    return len(calls), progress.calls_before(rounds)
