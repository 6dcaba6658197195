"""Define the options that limit the files of a recording and the memory that the kernel keeps for it."""

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
LANGUAGES = ("python", "php", "node")
_ALL_OR_NONE = {"all": frozenset(LANGUAGES), "none": frozenset[str]()}
STACK_KIB, NODE_STACK_KIB = DEFAULTS.stack_pages * PAGE_KIB, 48
_MAX_RING_KIB = 1 << 20
_TLS_SESSIONS = 4096  # that have a head on its way; the others keep it until it is their turn
_FRAME_SLOTS_PER_COPY = 16  # these take about as much memory as one stack copy


def check_time(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Return the option's value. Raises click.BadParameter if it is not a duration (NaN is not)."""
    if value is not None and not 0 <= value <= MAX_TIME:
        raise click.BadParameter(f"{value:g} is not between 0 and {MAX_TIME:g}.")
    return value


def _check_period(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Return the option's value. Raises click.BadParameter if it is not a duration of at least a second."""
    if value is not None and not 1 <= value <= MAX_TIME:
        raise click.BadParameter(f"{value:g} is not between 1 and {MAX_TIME:g}.")
    return value


def _check_power_of_two(context: click.Context, parameter: click.Parameter, value: int) -> int:
    """Return the option's value. Raises click.BadParameter unless a BPF ring buffer can have this size."""
    if value & (value - 1):
        raise click.BadParameter(f"{value} is not a power of two.")
    return value


_FILE_OPTIONS = [
    click.option(
        "--max-size",
        metavar="MIB",
        type=click.IntRange(min=1),
        help="Stop after this much output, all parts together. Calls that are already on their way are still written.",
    ),
    click.option(
        "--rotate-size",
        metavar="MIB",
        type=click.IntRange(min=1),
        help="Begin another part when the current one reaches this size. Part 1 of run.cap is run.00001.cap. Each part "
        "is a capture of its own, and repeats the parts of executables that it needs.",
    ),
    click.option(
        "--rotate-time",
        "rotate_s",
        metavar="SECONDS",
        type=float,
        callback=_check_period,
        help="Begin another part after this time.",
    ),
    click.option(
        "--rotate-keep",
        metavar="N",
        type=click.IntRange(min=2),
        help="Keep the newest N parts, the current one included. Older parts are deleted; each deletion is printed.",
    ),
]
_MEMORY_OPTIONS = [
    click.option(
        "--connections",
        metavar="N",
        type=click.IntRange(min=1, max=1 << 22),
        default=DEFAULTS.connections,
        show_default=True,
        help="Maximum number of connections to follow at a time; others are counted as lost. The kernel keeps N * 0.4 "
        "KiB for them.",
    ),
    click.option(
        "--threads",
        metavar="N",
        type=click.IntRange(min=1, max=1 << 22),
        default=DEFAULTS.threads,
        show_default=True,
        help="With kprobes only: maximum number of living threads that have sent or received; what others send and "
        "receive is counted as lost. The kernel keeps N * 0.1 KiB for them.",
    ),
    click.option(
        "--call-ring",
        metavar="KIB",
        type=click.IntRange(min=PAGE_KIB, max=_MAX_RING_KIB),
        callback=_check_power_of_two,
        default=DEFAULTS.call_ring_pages * PAGE_KIB,
        show_default=True,
        help="Room for calls on their way to the recorder, 0.2 KiB each; a power of two. The kernel keeps this much, "
        "and as much again for the ends of responses and for calls below -t; with --rows slow a quarter more.",
    ),
    click.option(
        "--stack-ring",
        metavar="KIB",
        type=click.IntRange(min=PAGE_KIB, max=_MAX_RING_KIB),
        callback=_check_power_of_two,
        default=DEFAULTS.stack_ring_pages * PAGE_KIB,
        show_default=True,
        help="Room for stacks on their way to the recorder, up to --stack-size + 0.3 KiB each; a power of two. The "
        "kernel keeps this much.",
    ),
]


def declarations(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Return a decorator that adds options to a command, in this order."""

    def declare(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return declare


file_options: Callable[[Any], Any] = declarations(_FILE_OPTIONS)
memory_options: Callable[[Any], Any] = declarations(_MEMORY_OPTIONS)


def bounds(
    max_size: int | None, rotate_size: int | None, rotate_s: float | None, keep: int | None, *, to_file: bool
) -> Bounds:
    """Return what limits the files, from option values in MiB and seconds. Raises click.UsageError if the options
    contradict each other."""
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


def languages(_context: click.Context, _option: click.Parameter, text: str) -> frozenset[str]:
    """Return which of LANGUAGES a list names. Raises click.BadParameter."""
    if text in _ALL_OR_NONE:
        return _ALL_OR_NONE[text]
    named = frozenset(text.split(","))
    unknown = sorted(named.difference(LANGUAGES))
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(LANGUAGES)}; or give all or none.")
    return named


def default_stack_size(languages: frozenset[str]) -> int:
    """Return how much of a stack to copy (KiB): Node's sends have buffers of up to 28 KiB on it, others need less."""
    return NODE_STACK_KIB if "node" in languages else STACK_KIB


def sizes(
    *,
    connections: int,
    threads: int,
    call_ring: int,
    stack_ring: int,
    stack_size: int,
    stack_slots: int,
    receive_stacks: bool,
    walks_frames: bool,
    http_bytes: int,
    http2_headers: bool,
    reads_tls: bool,
    has_short_rows: bool,
) -> Sizes:
    """Return the sizes of the BPF program's maps, from sizes of rings and stacks in KiB. With a `stack_size` of 0, no
    stack is copied; without `walks_frames`, no frames of interpreters are; without `http_bytes` or `http2_headers`, no
    header blocks of HTTP/2 are sent; without `has_short_rows`, calls below the threshold are counted only.

    Raises click.UsageError if the ring has no room for one stack, or if heads are to be read in TLS but not kept.
    """
    if reads_tls and not http_bytes:
        raise click.UsageError("--tls needs heads to keep: --http-bytes of at least 1.")
    pages = -(-stack_size // PAGE_KIB)
    largest = max(pages * mmap.PAGESIZE + STACK_ROW.size, STACK_FRAMES_SIZE)
    if stack_ring << 10 < largest + RING_HEADER:
        raise click.UsageError(f"--stack-ring {stack_ring} has no room for a stack of --stack-size {stack_size}.")
    return DEFAULTS._replace(
        connections=connections,
        threads=threads,
        stack_pages=pages,
        stack_slots=stack_slots,
        frame_slots=DEFAULTS.frame_slots if pages else _FRAME_SLOTS_PER_COPY * stack_slots,
        call_ring_pages=call_ring // PAGE_KIB,
        completion_ring_pages=max(call_ring // PAGE_KIB // 4, 1),
        short_ring_pages=max(call_ring // PAGE_KIB // 2, 1) if has_short_rows else 0,
        connection_ring_pages=max(call_ring // PAGE_KIB // 4, 1) if has_short_rows else 0,
        stack_ring_pages=stack_ring // PAGE_KIB,
        receive_stacks=int(receive_stacks),
        python_ring_pages=DEFAULTS.python_ring_pages if walks_frames else 0,
        http_bytes=http_bytes,
        block_ring_pages=DEFAULTS.block_ring_pages if http2_headers and http_bytes else 0,
        tls_sessions=_TLS_SESSIONS if reads_tls else 0,
    )
