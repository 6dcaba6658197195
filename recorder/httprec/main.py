"""Define the command line of httprec: read the options, report what is wrong with them, and run a RecordingLoop."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Callable

import click

from httpcapture import MAX_SECTION, Meta
from httpcapture.process_names import COMM_BYTES, kept
from httpcapture.standard_streams import FAILED

from . import __version__, check, host, options, privileges
from .call_lines import HEADS, columns
from .call_printer import CallPrinter
from .closing import closing_lines
from .errors import RecorderError
from .head_options import head_options, head_rules, rules_sentence, rules_text
from .http_heads import HeadRules
from .languages.walked_frames import WALKED
from .listeners import find_listeners
from .loader import PROBES, TracingOptions
from .output import STDOUT
from .parts import Bounds, Parts, check_parts
from .recording_loop import RecordingLoop
from .streams import StandardStream, Streams, open_standard_streams
from .tls.attacher import Attacher
from .tls.libraries import TlsLibraries
from .tracer import Tracer

BLOCKS, LINES, NOTHING = "blocks", "lines", "nothing"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _print(text: str) -> None:
    click.echo(text, err=True)


def _patterns(names: Sequence[str]) -> list[bytes]:
    patterns = []
    for name in names:
        pattern = kept(os.fsencode(name))
        if pattern != os.fsencode(name):
            _print(f"httprec: the kernel keeps {COMM_BYTES} bytes of a name: -p {pattern.decode(errors='replace')}")
        patterns.append(pattern)
    return patterns


def _end_conditions(duration_s: float | None, is_full: Callable[[], bool]) -> Callable[[], str | None]:
    """Return a function that returns the reason to end the recording, or None. From now on, signals do not kill."""
    caught: list[str] = []
    for number in _SIGNALS:
        signal.signal(number, lambda number, _: caught.append(signal.Signals(number).name))
    deadline = None if duration_s is None else time.monotonic() + duration_s

    def reason() -> str | None:
        if caught:
            return caught[0]
        if is_full():
            return "size"
        return "duration" if deadline is not None and time.monotonic() >= deadline else None

    return reason


def _announce(threshold_ms: float, names: Sequence[bytes], show: Callable[[str], bool]) -> None:
    show(f"Tracing... Hit Ctrl-C to end. (Duration threshold: {threshold_ms:g} ms)\n")
    if names:
        show(f"Process filters: {', '.join(name.decode(errors='replace') for name in names)}\n")


def _check(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Print what this host can do (--check), and exit."""
    if not wanted or context.resilient_parsing:
        return
    found = []
    for finding in check.findings():
        found.append(finding)
        state = {True: "ok", False: "no", None: "-"}[finding.works]
        click.echo(f"{finding.subject:<17} {state:<4} {finding.detail}")
    works = check.can_record(found)
    click.echo(f"httprec can record here, with {works[0]}" if works else "httprec cannot record here")
    context.exit(0 if works else 1)


def _printer(console: StandardStream) -> Callable[[str], bool]:
    """Return a function that prints a text and returns whether it can print another. If it cannot, the recording goes
    on without the printed calls."""
    console.reader_may_leave = True

    def show(text: str) -> bool:
        console.write(text)
        console.flush()
        error = console.take_error()
        if error:
            _print(f"httprec: {error}; the recording goes on, but its calls are not printed")
        return not console.has_failed

    return show


def _tell_listeners(tracer: Tracer) -> None:
    """Tell the kernel who listens where, and the user what is not known of that."""
    listeners = find_listeners()
    tracer.set_listeners(listeners.ports)
    if listeners.left_out:
        _print(
            f"httprec: not all listening ports are known, left out: {'; '.join(listeners.left_out)}. Of a connection "
            "that is open there already, calls are recorded once it is seen which end asks"
        )


def _tls_libraries(tracer: Tracer, tracing: TracingOptions, ending: contextlib.ExitStack) -> TlsLibraries:
    """Attach to the TLS libraries of the processes that run, until `ending` is left."""
    attacher = Attacher(tracer.tls_programs)
    ending.callback(attacher.close)
    libraries = TlsLibraries(attacher.attach, tracer.set_tls_registers, tracing.process_filters, tracing.ignored_pids)
    ending.callback(libraries.close)
    libraries.look_around()
    return libraries


def _record(
    console: StandardStream,
    output: str,
    tracing: TracingOptions,
    bounds: Bounds,
    *,
    modules_size: int,
    rules: HeadRules,
    languages: frozenset[str],
    replace: bool,
    duration_s: float | None,
    printed: str,
    verbose: bool,
) -> None:
    show = _printer(console)
    printer = CallPrinter(None if printed == NOTHING else show, as_lines=printed == LINES)
    has_http2, reads_tls = bool(tracing.sizes.block_ring_pages), bool(tracing.sizes.tls_sessions)

    def meta() -> Meta:
        return dataclasses.replace(
            host.meta(tracing.threshold_ns, tracing.process_filters, tracer.probes, tracing.sizes, tracer.walk_problem),
            heads=rules_text(tracing.sizes.http_bytes, rules, has_http2=has_http2, reads_tls=reads_tls),
        )

    with Tracer(tracing) as tracer, contextlib.ExitStack() as ending:
        parts = ending.enter_context(Parts(output, bounds, meta, overwrite=replace, print_line=_print))
        if verbose:
            _print(f"Probes: {tracer.probes}; not recorded: {', '.join(f'pid {pid}' for pid in tracing.ignored_pids)}")
        if tracing.probes == "auto" and tracer.probes == "tracepoint":
            _print(
                "Using tracepoints, because this kernel allows no probes on its functions. They do not show bytes that "
                "io_uring or recvmmsg receives (docs/limits.md)"
            )
        if tracer.walk_problem:
            _print(f"httprec: no frames of Python and PHP are recorded, all else is: {tracer.walk_problem}")
        if tracer.http2_problem:
            _print(f"httprec: the streams of HTTP/2 are not told apart: {tracer.http2_problem}")
        _print(rules_sentence(tracing.sizes.http_bytes, rules, has_http2=has_http2, reads_tls=reads_tls))
        if tracing.sizes.copies:
            _print("Stacks are copied, and the copies may hold secrets of the programs; --stack fp copies none")
        _tell_listeners(tracer)
        libraries = _tls_libraries(tracer, tracing, ending) if reads_tls else None
        privileges.drop(tracer.reads_maps, privileges.TO_ROTATE if bounds.rotates else ())
        is_over = _end_conditions(duration_s, parts.is_full)
        started_ns = time.monotonic_ns()
        try:
            loop = RecordingLoop(
                tracer,
                parts,
                tracing.threshold_ns,
                modules_size,
                printer,
                head_rules=rules,
                languages=languages,
                libraries=libraries,
            )
            _announce(tracing.threshold_ns / 1e6, tracing.process_filters, show)
            if printed == LINES:
                show(columns(HEADS))
            totals = loop.run(is_over)
        except OSError as error:
            raise RecorderError(
                f"cannot write {parts.name}: {error.strerror}; everything up to the last whole chunk can be reported: "
                + parts.next_command
            ) from error
        length_ns = time.monotonic_ns() - started_ns
        names = [name.decode(errors="replace") for name in tracing.process_filters]
        for line in closing_lines(
            totals, printer.frequent, tracing.threshold_ns, size=parts.bytes_written, length_ns=length_ns, names=names
        ):
            _print(line)
        for problem in libraries.unreadable() if libraries else ():
            _print(f"Heads in TLS that were not read: {problem}")
        _print(f"Next, on your machine: {parts.next_command}")


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, short_help="record slow HTTP calls of a host")
@click.option(
    "-o",
    "output",
    metavar="FILE",
    type=click.Path(),
    required=True,
    help="File to write the capture to; - for standard output.",
)
@click.option(
    "-t",
    "threshold_ms",
    metavar="MS",
    type=float,
    callback=options.check_time,
    default=100,
    show_default=True,
    help="Record calls of at least this duration, from the first byte of the request to the last byte of the response; "
    "0 records every call.",
)
@click.option(
    "--rows",
    type=click.Choice(["all", "slow"]),
    default="all",
    show_default=True,
    help="all: record calls below -t too, without stacks and heads, some 10 bytes each. slow: count them only.",
)
@click.option(
    "-p",
    "names",
    metavar="NAME",
    multiple=True,
    help="Record only calls of processes or threads with this name; * ? [] make it a shell pattern. May be repeated.",
)
@click.option(
    "-d", "duration_s", metavar="SECONDS", type=float, callback=options.check_time, help="End after this time."
)
@options.file_options
@click.option("-f", "replace", is_flag=True, help="Replace FILE, or its parts, if they exist.")
@click.option(
    "--print",
    "printed",
    type=click.Choice([BLOCKS, LINES]),
    default=BLOCKS,
    show_default=True,
    help="How to print each call: in three lines, or in one, with its start (UTC), duration, process and peer, request "
    "and status.",
)
@click.option("-q", "quiet", is_flag=True, help="Do not print the calls.")
@click.option("-v", "verbose", is_flag=True, help="Print how the kernel is probed.")
@click.option(
    "--probes",
    type=click.Choice(["auto", *PROBES]),
    default="auto",
    show_default=True,
    help="How to attach to the kernel.",
)
@click.option(
    "--stack",
    type=click.Choice(["dwarf", "fp"]),
    default="dwarf",
    show_default=True,
    help="dwarf: copy registers and stack bytes, so that httpreport finds every frame. fp: follow frame pointers, "
    "which often finds only one frame; no memory of a process leaves the host.",
)
@click.option(
    "--stack-size",
    metavar="KIB",
    type=click.IntRange(min=4, max=64),
    help=f"How much of a stack to copy, in whole pages. Default {options.STACK_KIB}, or {options.NODE_STACK_KIB} with "
    "--languages node or all: Node needs that.",
)
@click.option(
    "--stack-slots",
    metavar="N",
    type=click.IntRange(min=1, max=65536),
    default=options.DEFAULTS.stack_slots,
    show_default=True,
    help="Maximum number of stack copies held for unfinished client calls. Any further call gets a frame-pointer stack "
    "instead, and is counted as a loss. The kernel keeps N * (KIB + 0.3) KiB for the copies.",
)
@click.option(
    "--recv-stack",
    "receive_stacks",
    is_flag=True,
    help="Also record the stack of the receiving side: the code that waits for an answer, or that reads a request. "
    "Every unfinished server call then also holds a slot of --stack-slots.",
)
@head_options
@options.memory_options
@click.option(
    "--languages",
    metavar="LIST",
    default="python,php",
    show_default=True,
    callback=options.languages,
    help="Of which languages to record the frames of programs too, separated by commas: python, php, node; or all, or "
    "none. These are names of their functions and files, and lines. Where the kernel cannot follow those of Python and "
    "PHP, httprec says why and records without them. The kernel keeps 8 MiB for them.",
)
@click.option(
    "--modules",
    type=click.Choice(["all", "none"]),
    default="all",
    show_default=True,
    help="Whether to copy the parts of the recorded processes' executables that unwinding and naming need.",
)
@click.option(
    "--modules-size",
    metavar="MIB",
    type=click.IntRange(min=1, max=MAX_SECTION >> 20),
    default=64,
    show_default=True,
    help="Maximum size of the copied parts of executables; what does not fit is counted as lost.",
)
@click.option(
    "--check",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_check,
    help="Show what this host can do, and the reason for anything that it cannot. Exit with 0 if it can record, 1 "
    "otherwise.",
)
@click.version_option(__version__, "-V", "--version", prog_name="httprec", message="%(prog)s %(version)s")
@click.pass_obj
def command(
    streams: Streams,
    *,
    output: str,
    threshold_ms: float,
    rows: str,
    names: tuple[str, ...],
    duration_s: float | None,
    max_size: int | None,
    rotate_size: int | None,
    rotate_s: float | None,
    rotate_keep: int | None,
    replace: bool,
    printed: str,
    quiet: bool,
    verbose: bool,
    probes: str,
    stack: str,
    stack_size: int | None,
    stack_slots: int,
    receive_stacks: bool,
    connections: int,
    threads: int,
    http_bytes: int,
    http2_headers: str,
    http_query: str,
    http_path: str,
    http_headers: list[bytes],
    reads_tls: bool,
    call_ring: int,
    stack_ring: int,
    languages: frozenset[str],
    modules: str,
    modules_size: int,
) -> None:
    """Record slow HTTP calls of this host into FILE, to be read with httpreport.

    Every call that takes at least -t milliseconds is recorded with the code that made it. Ctrl-C ends the recording.

    Once the probes are attached and FILE is created, httprec sets no_new_privs and drops all capabilities except
    cap_checkpoint_restore, cap_dac_read_search and cap_sys_ptrace. It needs these to read the memory maps and
    executables of other users' processes. With --tls, a process of its own also keeps cap_sys_admin, and does nothing
    but attach to libraries. httprec also keeps cap_bpf before Linux 5.19, and cap_chown, cap_dac_override and
    cap_fowner if it is to create parts.
    """
    sizes = options.sizes(
        connections=connections,
        threads=threads,
        call_ring=call_ring,
        stack_ring=stack_ring,
        stack_size=0 if stack == "fp" else stack_size or options.default_stack_size(languages),
        stack_slots=stack_slots,
        receive_stacks=receive_stacks,
        walks_frames=not languages.isdisjoint(WALKED),
        http_bytes=http_bytes,
        http2_headers=http2_headers == "on",
        reads_tls=reads_tls,
        has_short_rows=rows == "all" and threshold_ms > 0,
    )
    bounds = options.bounds(max_size, rotate_size, rotate_s, rotate_keep, to_file=output != STDOUT)
    found = check.problems()
    if found:
        raise RecorderError("\nhttprec: ".join(found))
    check_parts(output, bounds, replace=replace)
    _record(
        streams.stderr if output == STDOUT else streams.stdout,
        output,
        TracingOptions(round(threshold_ms * 1e6), _patterns(names), host.ignored_pids(), probes, sizes),
        bounds,
        modules_size=modules_size << 20 if modules == "all" else 0,
        rules=head_rules(http_query, http_path, http_headers),
        languages=languages,
        replace=replace,
        duration_s=duration_s,
        printed=NOTHING if quiet else printed,
        verbose=verbose,
    )


def main() -> None:
    """Run httprec, and exit with 0 (done), 1 (failed), 2 (wrong usage), or 141 if the reader of its output has gone;
    but a recording goes on without one."""
    streams = open_standard_streams()
    try:
        command(prog_name="httprec", obj=streams)
    except RecorderError as error:
        _print(f"httprec: {error}")
        status = FAILED
    except MemoryError:
        _print("httprec: memory ran out; everything up to the last whole chunk can be reported")
        status = FAILED
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    for stream in streams:
        failure = stream.take_error()
        if failure:
            _print(f"httprec: {failure}")
    sys.exit(status or max(stream.exit_status for stream in streams))
