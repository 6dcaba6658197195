"""Compile, load and attach the BPF program in a process of its own, which hands over its file descriptors and ends.

BCC's compiler takes more memory than a whole recording, hence the process. This is the only file that imports bcc. A
probe stays attached as long as somebody holds its descriptor, which the recorder does from then on. Without the
compiler, a loaded program could be attached again by perf_event_open(2) and PERF_EVENT_IOC_SET_BPF, which needs
cap_perfmon.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import re
import resource
import select
import signal
import socket
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from httpbpf.btf import Btf, BtfError, load_btf
from httpbpf.program import FEW_SLOTS, Program, Sizes, build_program
from httpbpf.sources import kernel_tree

from .bpf_maps import BpfMap, cpus, create
from .bpf_programs import try_fexit
from .bpf_tails import Tails
from .errors import RecorderError
from .tls.places import PROGRAMS as TLS_PROGRAMS

KPROBE_EVENTS = ("/sys/kernel/tracing/kprobe_events", "/sys/kernel/debug/tracing/kprobe_events")
PROBES = ("fexit", "kprobe", "tracepoint")  # best first
WALK_MAPS = (
    "executables",
    "frame_walkers",  # the kernel forgets the programs in such an array with its last descriptor
    "runtimes",
    "walked_ring",
    "walked_stacks",
)
"""The maps of runtimes.h."""
MAPS = (
    "block_ring",
    "call_ring",
    "completion_ring",
    "connection_ring",
    "connections",
    "counters",
    "fast_calls",
    "free_frame_slots",
    "free_slots",
    "head_ring",
    "head_slots",
    "head_turns",
    "ignored_pids",
    "listeners",
    "plaintext_walkers",
    "process_filters",
    "process_ring",
    "receive_walkers",
    "running",
    "send_walkers",
    "short_ring",
    "stack_copies",
    "stack_frames",
    "stack_ring",
    "streams",
    "streams_end_ring",
    "tls_registers",
    *WALK_MAPS,
)
_KRETPROBE_INSTANCES = 4096  # blocked calls at a time: KRETPROBE_MAXACTIVE_MAX. The default is a few per CPU
_ATTACHMENTS = ("anon_inode:bpf_link", "anon_inode:bpf-link", "anon_inode:[perf_event]")
_MAX_FDS = 253  # in one message: SCM_MAX_FD
_MAX_MESSAGE = 1 << 16
_PR_SET_PDEATHSIG = 1
_PATIENCE_S = 1.0  # after which the user is told why nothing happens yet
_BPF_MAP_TYPE_STACK = 23  # include/uapi/linux/bpf.h
_NOT_PERMITTED = "not permitted; the kernel is locked down, or CAP_BPF and CAP_PERFMON are missing in this container"
_U32 = struct.Struct("<I")


@dataclass(frozen=True)
class TracingOptions:
    """Say what the kernel decides: which calls it records. With no `process_filters`, those of all processes; never
    those of `ignored_pids`."""

    threshold_ns: int
    process_filters: Sequence[bytes]
    ignored_pids: Sequence[int]
    probes: str  # auto, or one of PROBES
    sizes: Sizes


@dataclass(frozen=True)
class LoadedProgram:
    """Hold the file descriptors of the attached program."""

    probes: str  # one of PROBES
    maps: Mapping[str, int]
    programs: Sequence[int]
    attachments: Sequence[int]  # closing one detaches its probe
    events: str  # suffix of the names of its kprobe events
    faults_are_misses: bool  # whether the kernel counts a page fault in a kprobe as a miss
    walk_problem: str  # why frames of Python and PHP are not walked although they were asked for, or ""
    http2_problem: str  # why the streams of HTTP/2 are not told apart, or ""
    tls: Mapping[str, int]  # by name, the programs to attach to TLS libraries (tls/libraries.py)


def import_bcc() -> Any:
    """Return the distribution's module bcc. Raises RecorderError if it is missing."""
    try:
        import bcc  # noqa: PLC0415 - only a recording needs it
    except ImportError:
        raise RecorderError("BCC for Python is missing: apt install python3-bpfcc") from None
    if not hasattr(bcc, "BPF"):
        raise RecorderError(
            f"{os.path.dirname(bcc.__file__ or 'bcc')} is PyPI's lattice package of the same name, not BCC: "
            "pip uninstall bcc; apt install python3-bpfcc"
        )
    return bcc


def load_program(options: TracingOptions) -> LoadedProgram:
    """Compile, load and attach the program. Raises RecorderError if the kernel or BCC cannot do so."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if not child:
        ours.close()
        _load_and_hand_over(theirs, options)
    theirs.close()
    with ours:
        if sys.stderr.isatty() and not select.select([ours], [], [], _PATIENCE_S)[0]:
            sys.stderr.write("httprec: compiling the BPF program, which takes some seconds\n")
        message, fds, _, _ = socket.recv_fds(ours, _MAX_MESSAGE, _MAX_FDS)
    for fd in fds:
        os.set_inheritable(fd, False)
    _, status = os.waitpid(child, 0)
    if not message:
        how = f"was killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended early"
        raise RecorderError(
            f"the process that compiles the BPF program {how}: free some memory (it needs about 200 MiB) and try again"
        )
    answer = json.loads(message)
    if "error" in answer:
        raise RecorderError(answer["error"])
    found = {name: [fds[index] for index in answer[name]] for name in ("programs", "attachments")}
    maps = {name: fds[index] for name, index in answer["maps"].items()}
    return LoadedProgram(
        answer["probes"],
        maps,
        events=f"_bcc_{child}",
        faults_are_misses=answer["faults_are_misses"],
        walk_problem=answer["walk_problem"],
        http2_problem=answer["http2_problem"],
        tls={name: fds[index] for name, index in answer["tls"].items()},
        **found,
    )


def _load_and_hand_over(to: socket.socket, options: TracingOptions) -> NoReturn:
    """Load the program and send its descriptors, in the process made for this. Exit without cleaning up: the
    descriptors stay open in the recorder."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        answer, fds = _load(options)
    except RecorderError as error:
        answer, fds = {"error": str(error)}, []
    except KeyboardInterrupt:
        os._exit(1)
    except BaseException as error:
        answer, fds = {"error": f"cannot load the BPF program: {type(error).__name__}: {error}"}, []
    if "error" in answer:
        answer["error"] = answer["error"][: _MAX_MESSAGE // 8]  # a character takes at most 6 bytes in JSON
    with contextlib.suppress(OSError):
        socket.send_fds(to, [json.dumps(answer).encode()], fds)
    os._exit(0)


def _load(options: TracingOptions) -> tuple[dict[str, Any], list[int]]:
    """Return the answer, which refers to descriptors by their index, and the list of descriptors."""
    with contextlib.suppress(OSError, ValueError):  # before 5.11, programs and maps count as locked memory
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        btf = load_btf()
    except BtfError as error:
        raise RecorderError(str(error)) from error
    with kernel_tree() as tree:
        os.environ["BCC_KERNEL_SOURCE"] = str(tree)  # libbcc reads it when it compiles
        probes, bpf, problem = _attach_best(import_bcc(), btf, options)
    library = import_bcc().libbcc.lib
    table_fd = library.bpf_table_fd
    _give_slots(BpfMap(table_fd(bpf.module, b"slots_of_processor"), _U32.size, _U32.size))
    found = {name: table_fd(bpf.module, name.encode()) for name in MAPS}
    maps = {name: fd for name, fd in found.items() if fd >= 0}
    tls = _load_tls(import_bcc().BPF, bpf) if options.sizes.tls_sessions else {}
    programs, attachments = [function.fd for function in bpf.funcs.values()], _attached()
    tails, http2_problem = Tails(library, bpf.module, btf, probes), ""
    if "frame_walkers" in maps:
        try:
            programs += tails.load_frame_walkers(maps["frame_walkers"])
        except (OSError, BtfError) as error:
            problem = f"the kernel does not take the program that follows them: {error}"
            maps = {name: fd for name, fd in maps.items() if name not in WALK_MAPS}
    try:
        steps = options.sizes.steps_a_run
        programs += tails.load_stream_walkers(maps["send_walkers"], maps["receive_walkers"], steps)
        if tls:
            programs.append(tails.load_plaintext_walker(maps["send_walkers"], maps["plaintext_walkers"], steps))
    except (OSError, BtfError) as error:
        http2_problem = f"the kernel does not take the program that follows them: {error}"
        maps = {name: fd for name, fd in maps.items() if "stream" not in name and name != "block_ring"}
    fds = [*maps.values(), *programs, *attachments]
    ends = len(maps), len(maps) + len(programs), len(fds)
    return {
        "probes": probes,
        "walk_problem": problem,
        "http2_problem": http2_problem,
        "maps": dict(zip(maps, range(ends[0]))),
        "programs": list(range(ends[0], ends[1])),
        "attachments": list(range(ends[1], ends[2])),
        "tls": {name: fds.index(fd) for name, fd in tls.items()},
        # Until 5.14, a page fault in a kprobe, such as at the end of a stack, counted as a miss. This member went away
        # with that: "kprobes: Remove kprobe::fault_handler", "kprobes: Do not increment probe miss count in the fault
        # handler".
        "faults_are_misses": "fault_handler" in btf.members("kprobe"),
    }, fds


def _load_tls(bpf_class: Any, bpf: Any) -> dict[str, int]:
    """Load the programs for TLS libraries, and return their descriptors by name. Raises RecorderError."""
    try:
        with _quiet_stderr():
            return {name: bpf.load_func(name.encode(), bpf_class.KPROBE).fd for name in TLS_PROGRAMS}
    except Exception as error:  # BCC raises bare Exceptions
        raise RecorderError(f"the kernel does not take the programs for TLS libraries: {error}") from None


def _give_slots(of_processor: BpfMap) -> None:
    """Give each processor an empty stack for the few free slots that it keeps (slots.h)."""
    for processor in range(cpus()):
        stack = create(_BPF_MAP_TYPE_STACK, 0, _U32.size, FEW_SLOTS)
        of_processor.put(_U32.pack(processor), _U32.pack(stack))
        os.close(stack)


def _attached() -> list[int]:
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{fd}") in _ATTACHMENTS:
                found.append(fd)
    return sorted(found)


def _attach_best(bcc: Any, btf: Btf, options: TracingOptions) -> tuple[str, Any, str]:
    """Return the kind of probes, BCC's program, and why it walks no frames of interpreters or ""."""
    wanted = PROBES if options.probes == "auto" else (options.probes,)
    problems: list[str] = []
    for probes in wanted:
        try:
            refusal = _refused_at_once(probes, btf)
            if refusal:
                problems.append(f"{probes}: {refusal}")
                continue
            program = build_program(
                btf,
                options.sizes,
                threshold_ns=options.threshold_ns,
                filter_processes=bool(options.process_filters),
                probes=probes,
                processors=cpus(),
            )
        except BtfError as error:
            raise RecorderError(str(error)) from error
        bpf = _attach(bcc.BPF, program, probes, problems)
        if bpf is not None:
            return probes, bpf, program.walk_problem
        for fd in _attached():  # the probes that were attached before one failed
            os.close(fd)
    raise RecorderError("this kernel takes no probes: " + "; ".join(problems))


def _refused_at_once(probes: str, btf: Btf) -> str:
    """Return why the kernel takes no probes of this kind, as far as that is known before the program is compiled, or
    ""."""
    if probes == "kprobe" and not any(os.path.exists(path) for path in KPROBE_EVENTS):
        return "the kernel was built without CONFIG_KPROBES, or tracefs is not mounted"
    try:
        if probes == "fexit":
            try_fexit(btf.function_id("tcp_sendmsg"))
    except OSError as error:
        return _NOT_PERMITTED if error.errno == errno.EPERM else str(error)
    return ""


def _attach(bpf_class: Any, program: Program, probes: str, problems: list[str]) -> Any:
    try:
        with _quiet_stderr() as printed:
            bpf = bpf_class(text=program.text, cflags=program.cflags)  # attaches fexit and tracepoints
            if probes == "kprobe":
                for function in program.functions:
                    bpf.attach_kprobe(event=function, fn_name=f"enter_{function}")
                    bpf.attach_kretprobe(event=function, fn_name=f"return_{function}", maxactive=_KRETPROBE_INSTANCES)
                bpf.attach_kprobe(event="tcp_close", fn_name="enter_tcp_close")
    except Exception as error:  # BCC raises bare Exceptions
        problems.append(f"{probes}: {_refusal(str(error), ''.join(printed))}")
        return None
    return bpf


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[list[str]]:
    """Capture what libbcc prints to file descriptor 2; on exit it is appended to the list."""
    kept: list[str] = []
    saved = os.dup(2)
    spool = os.memfd_create("libbcc")
    os.dup2(spool, 2)
    try:
        yield kept
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        kept.append(os.pread(spool, 1 << 20, 0).decode(errors="replace"))
        os.close(spool)


def _refusal(error: str, printed: str) -> str:
    """Return why BCC could not attach, as far as its output tells."""
    lacking = re.search(r"bpf_attach_raw_tracepoint \((\w+)\): No such file", printed)
    if lacking:
        return f"the kernel has no tracepoint {lacking[1]}; Linux 6.16 and later have all that are needed"
    if "Operation not permitted" in printed:
        return _NOT_PERMITTED
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    return f"{error} ({lines[-1]})" if lines else error
