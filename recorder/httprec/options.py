"""Options that bound a recording: the size of its files, and what the kernel keeps for it, with what that costs."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Any, Callable, TypeVar

import click

from httpbpf.layout import STACK_FRAMES_SIZE, STACK_ROW
from httpbpf.program import Sizes
from httpcapture import RING_HEADER

from .parts import Bounds

Command = TypeVar("Command", bound=Callable[..., Any])

MAX_TIME = 1e9  # milliseconds or seconds
DEFAULTS = Sizes()
PAGE_KIB = 4
_MAX_RING_KIB = 1 << 20
_FRAMES_FOR_A_COPY = 16  # slots, in about the same room


def time(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """A usage error for what is no time, NaN too."""
    if value is not None and not 0 <= value <= MAX_TIME:
        raise click.BadParameter(f"{value:g} is not between 0 and {MAX_TIME:g}.")
    return value


def _period(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """The same for what is less than a second."""
    if value is not None and not 1 <= value <= MAX_TIME:
        raise click.BadParameter(f"{value:g} is not between 1 and {MAX_TIME:g}.")
    return value


def _power_of_two(context: click.Context, parameter: click.Parameter, value: int) -> int:
    """A ring buffer has no other size."""
    if value & (value - 1):
        raise click.BadParameter(f"{value} is not a power of two.")
    return value


_FILES = [
    click.option(
        "--max-size",
        metavar="MIB",
        type=click.IntRange(min=1),
        help="End once this much is written, all parts together. What waits then is still written.",
    ),
    click.option(
        "--rotate-size",
        metavar="MIB",
        type=click.IntRange(min=1),
        help="Begin another part once one has this size. Part 1 of run.cap is run.00001.cap; each is a capture of its "
        "own, and repeats what it needs of executables.",
    ),
    click.option(
        "--rotate-time",
        "rotate_s",
        metavar="SECONDS",
        type=float,
        callback=_period,
        help="Begin another part after this time.",
    ),
    click.option(
        "--rotate-keep",
        metavar="N",
        type=click.IntRange(min=2),
        help="Keep the newest N parts, with the one that is being written; older ones are removed.",
    ),
]
_ROOM = [
    click.option(
        "--connections",
        metavar="N",
        type=click.IntRange(min=1, max=1 << 22),
        default=DEFAULTS.connections,
        show_default=True,
        help="Connections to follow at a time; those beyond are counted. The kernel keeps N * 0.3 KiB for them.",
    ),
    click.option(
        "--threads",
        metavar="N",
        type=click.IntRange(min=1, max=1 << 22),
        default=DEFAULTS.threads,
        show_default=True,
        help="With kprobes only: how many living threads can have sent or received; what others do is counted. The "
        "kernel keeps N * 0.1 KiB.",
    ),
    click.option(
        "--call-ring",
        metavar="KIB",
        type=click.IntRange(min=PAGE_KIB, max=_MAX_RING_KIB),
        callback=_power_of_two,
        default=DEFAULTS.call_ring_pages * PAGE_KIB,
        show_default=True,
        help="Room for calls on their way to the recorder, 0.2 KiB each: a power of two. The kernel keeps this much, "
        "and a quarter more for ends of responses.",
    ),
    click.option(
        "--stack-ring",
        metavar="KIB",
        type=click.IntRange(min=PAGE_KIB, max=_MAX_RING_KIB),
        callback=_power_of_two,
        default=DEFAULTS.stack_ring_pages * PAGE_KIB,
        show_default=True,
        help="Room for stacks on their way, up to --stack-size + 0.3 KiB each: a power of two. The kernel keeps this "
        "much.",
    ),
]


def _declared(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    def declare(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return declare


files: Callable[[Any], Any] = _declared(_FILES)
room: Callable[[Any], Any] = _declared(_ROOM)


def bounds(
    max_size: int | None, rotate_size: int | None, rotate_s: float | None, keep: int | None, *, to_file: bool
) -> Bounds:
    """Sizes in MiB. Raises click.UsageError where the options contradict each other."""
    found = Bounds(
        max_size=max_size and max_size << 20,
        part_size=rotate_size and rotate_size << 20,
        part_age_ns=None if rotate_s is None else round(rotate_s * 1_000_000_000),
        keep=keep,
    )
    if keep is not None and not found.rotates:
        raise click.UsageError("--rotate-keep needs --rotate-size or --rotate-time.")
    if found.rotates and not to_file:
        raise click.UsageError("Standard output has no parts: --rotate-size and --rotate-time need -o FILE.")
    return found


def sizes(
    *,
    connections: int,
    threads: int,
    call_ring: int,
    stack_ring: int,
    stack_size: int,
    stack_slots: int,
    receive_stacks: bool,
) -> Sizes:
    """Rings and stacks in KiB; a `stack_size` of 0 is for frames only. Raises click.UsageError where no stack fits."""
    pages = -(-stack_size // PAGE_KIB)
    most = max(pages * mmap.PAGESIZE + STACK_ROW.size, STACK_FRAMES_SIZE)
    if stack_ring << 10 < most + RING_HEADER:
        raise click.UsageError(f"--stack-ring {stack_ring} has no room for a stack of --stack-size {stack_size}.")
    return DEFAULTS._replace(
        connections=connections,
        threads=threads,
        stack_pages=pages,
        stack_slots=stack_slots,
        frame_slots=DEFAULTS.frame_slots if pages else _FRAMES_FOR_A_COPY * stack_slots,
        call_ring_pages=call_ring // PAGE_KIB,
        completion_ring_pages=max(call_ring // PAGE_KIB // 4, 1),
        stack_ring_pages=stack_ring // PAGE_KIB,
        receive_stacks=int(receive_stacks),
    )
