"""The BPF program in the running kernel. The one file that imports bcc.

`Tracer` compiles, loads and attaches; then it gives access to the rings, the ledger and, at the end, to the connections
that are still open. Raises RecorderError where the kernel or BCC cannot do it.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import mmap
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from httpbpf import layout
from httpbpf.btf import BtfError, load
from httpbpf.process_filter import FilterError, compile_filter
from httpbpf.program import Program, Sizes, build
from httpbpf.sources import kernel_tree

from .errors import RecorderError
from .fast_calls import FastCalls, add_up
from .ring import Ring

KPROBE_EVENTS = ("/sys/kernel/tracing/kprobe_events", "/sys/kernel/debug/tracing/kprobe_events")
_KPROBE_PROFILES = ("/sys/kernel/tracing/kprobe_profile", "/sys/kernel/debug/tracing/kprobe_profile")
PROBES = ("fexit", "kprobe", "tracepoint")  # the better first
_BLOCKED_READERS = 4096  # at once; the most there can be (KRETPROBE_MAXACTIVE_MAX). The default is a few per CPU
_MEMBARRIER_GLOBAL = 1
_SYS_MEMBARRIER = {"x86_64": 324, "aarch64": 283}


@dataclass(frozen=True)
class Options:
    """What is decided in the kernel. `process_filters` empty: all processes. `ignored_pids` are not seen at all."""

    threshold_ns: int
    process_filters: Sequence[bytes]
    ignored_pids: Sequence[int]
    probes: str  # auto, or one of PROBES
    sizes: Sizes


def import_bcc() -> Any:
    """The distribution's bcc. Raises RecorderError where there is none."""
    try:
        import bcc  # noqa: PLC0415 - a recording only
    except ImportError:
        raise RecorderError("BCC for Python is missing: apt install python3-bpfcc") from None
    if not hasattr(bcc, "BPF"):
        raise RecorderError(
            f"{os.path.dirname(bcc.__file__ or 'bcc')} is PyPI's lattice package of the same name, not BCC: "
            "pip uninstall bcc; apt install python3-bpfcc"
        )
    return bcc


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[list[str]]:
    """Keeps what libbcc prints to file descriptor 2; the list holds it afterwards."""
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


def _refusal(probes: str, error: str, said: str) -> str:
    """Why BCC could not attach, as far as it can be known."""
    if probes == "kprobe" and not any(os.path.exists(path) for path in KPROBE_EVENTS):
        return "the kernel was built without CONFIG_KPROBES, or tracefs is not mounted"
    lacking = re.search(r"bpf_attach_raw_tracepoint \((\w+)\): No such file", said)
    if lacking:
        return f"the kernel has no tracepoint {lacking[1]}; Linux 6.16 has all"
    if "Operation not permitted" in said:
        return "not permitted; the kernel is locked down, or CAP_BPF and CAP_PERFMON are missing in this container"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return f"{error} ({lines[-1]})" if lines else error


class Tracer:
    """The attached program. Use as a context manager: leaving it detaches everything."""

    def __init__(self, options: Options) -> None:
        try:
            self._btf = load()
            self._filter = compile_filter(options.process_filters) if options.process_filters else None
        except (BtfError, FilterError) as error:
            raise RecorderError(str(error)) from error
        # Until 5.14 a page fault in a kprobe, as where a stack ends, was counted as a miss. With that went this member:
        # "kprobes: Remove kprobe::fault_handler", "kprobes: Do not increment probe miss count in the fault handler".
        self._faults_are_misses = "fault_handler" in self._btf.members("kprobe")
        _remove_leftovers()
        with kernel_tree() as tree:
            os.environ["BCC_KERNEL_SOURCE"] = str(tree)  # libbcc reads it when it compiles
            self.probes, self._bpf = self._attach_best(import_bcc().BPF, options)
        sizes = options.sizes
        self._sizes = sizes
        self._fill_maps(options)
        self.calls = self._ring("call_ring", sizes.call_ring_pages)
        self.completions = self._ring("completion_ring", sizes.completion_ring_pages)
        self.stacks = self._ring("stack_ring", sizes.stack_ring_pages)
        self.processes = self._ring("process_ring", sizes.process_ring_pages)
        self.wake_fd: int = self._bpf["process_ring"].map_fd

    def __enter__(self) -> Tracer:
        return self

    def __exit__(self, *exception: object) -> None:
        with _quiet_stderr():
            self._bpf.cleanup()

    def _attach_best(self, bpf_class: Any, options: Options) -> tuple[str, Any]:
        wanted = PROBES if options.probes == "auto" else (options.probes,)
        problems: list[str] = []
        for probes in wanted:
            try:
                program = build(
                    self._btf,
                    options.sizes,
                    threshold_ns=options.threshold_ns,
                    filter_processes=self._filter is not None,
                    probes=probes,
                )
            except BtfError as error:
                raise RecorderError(str(error)) from error
            bpf = self._attach(bpf_class, program, probes, problems)
            if bpf is not None:
                return probes, bpf
        raise RecorderError("this kernel takes no probes: " + "; ".join(problems))

    @staticmethod
    def _attach(bpf_class: Any, program: Program, probes: str, problems: list[str]) -> Any:
        try:
            with _quiet_stderr() as said:
                bpf = bpf_class(text=program.text, cflags=program.cflags)  # attaches fexit and tracepoints
                if probes == "kprobe":
                    for function in program.functions:
                        bpf.attach_kprobe(event=function, fn_name=f"enter_{function}")
                        bpf.attach_kretprobe(event=function, fn_name=f"return_{function}", maxactive=_BLOCKED_READERS)
                    bpf.attach_kprobe(event="tcp_close", fn_name="enter_tcp_close")
        except Exception as error:  # BCC raises bare Exceptions
            problems.append(f"{probes}: {_refusal(probes, str(error), ''.join(said))}")
            return None
        return bpf

    def _table(self, name: str, key: Any, leaf: Any) -> Any:
        return self._bpf.get_table(name, keytype=key, leaftype=leaf)

    def _fill_maps(self, options: Options) -> None:
        ignored = self._table("ignored_pids", ctypes.c_uint32, ctypes.c_uint8)
        for pid in options.ignored_pids:
            ignored[ctypes.c_uint32(pid)] = ctypes.c_uint8(1)
        if self._filter is not None:
            table = b"".join(self._filter)
            leaf = ctypes.c_char * len(table)
            self._table("process_filters", ctypes.c_uint32, leaf)[ctypes.c_uint32(0)] = leaf.from_buffer_copy(table)
        copies = options.sizes.copies
        if copies:
            self._free("free_slots", range(1, copies + 1))
        self._free("free_frame_slots", range(copies + 1, copies + options.sizes.frame_slots + 1))
        self._counters = self._table("counters", ctypes.c_uint32, ctypes.c_uint64)

    def _free(self, name: str, slots: Iterable[int]) -> None:
        table = self._bpf.get_table(name, leaftype=ctypes.c_uint32)
        for slot in slots:
            table.push(ctypes.c_uint32(slot))

    def _ring(self, name: str, pages: int) -> Ring:
        return Ring(self._bpf[name].map_fd, pages * mmap.PAGESIZE)

    def _run(self, on: int) -> None:
        self._table("running", ctypes.c_uint32, ctypes.c_uint32)[ctypes.c_uint32(0)] = ctypes.c_uint32(on)

    def start(self) -> None:
        self._run(1)

    def stop(self) -> None:
        """After this no probe changes anything any more."""
        self._run(0)
        # A global membarrier waits for a grace period of RCU, under which every probe runs (kernel/sched/membarrier.c).
        number = _SYS_MEMBARRIER.get(os.uname().machine, -1)
        if ctypes.CDLL(None).syscall(number, _MEMBARRIER_GLOBAL, 0) != 0:
            time.sleep(0.5)

    def reads_maps(self) -> bool:
        """Whether we may still read the program's maps."""
        try:
            return bool(self._counters[ctypes.c_uint32(0)])
        except KeyError:
            return False

    def counters(self) -> dict[str, int]:
        """The ledger in the kernel, over all CPUs."""
        counts = {name: sum(self._counters[ctypes.c_uint32(index)]) for index, name in enumerate(layout.COUNTERS)}
        in_profile = sum(_profile_misses(f"_bcc_{os.getpid()}")) if self.probes == "kprobe" else 0
        certain = 0 if self._faults_are_misses else in_profile
        counts["probe_missed"] = self._missed_programs() + certain
        counts["probe_perhaps_missed"] = in_profile - certain
        return counts

    def fast_calls(self) -> FastCalls:
        """What ended below the threshold, over all CPUs."""
        row = ctypes.c_char * layout.FAST_CALLS.size
        return add_up(map(bytes, self._table("fast_calls", ctypes.c_uint32, row)[ctypes.c_uint32(0)]))

    def _missed_programs(self) -> int:
        missed = 0
        for function in self._bpf.funcs.values():
            with open(f"/proc/self/fdinfo/{function.fd}") as file:  # 5.12 and later, commit 9ed9e9ba2337
                match = re.search(r"^recursion_misses:\s*(\d+)", file.read(), re.MULTILINE)
            missed += int(match.group(1)) if match else 0
        return missed

    def open_connections(self) -> Iterator[bytes]:
        """struct connection (rows.h) of every socket that is followed.

        While probes run, those that change are left out, and a walk that the map's changes send back has an end.
        """
        leaf = ctypes.c_char * layout.CONNECTION.size
        table = self._table("connections", ctypes.c_uint64, leaf)
        for key in itertools.islice(table, 2 * self._sizes.connections):
            with contextlib.suppress(KeyError):
                found = bytes(table[key])
                if found == bytes(table[key]):
                    yield found

    def stack_in(self, slot: int) -> bytes:
        """The stack row that waits in a slot, from 1, and what follows it: frames or stack bytes (slots.h)."""
        copies = self._sizes.copies
        name, size, index = "stack_frames", layout.STACK_FRAMES_SIZE, slot - 1 - copies
        if slot <= copies:
            name, size, index = (
                "stack_copies",
                layout.STACK_ROW.size + self._sizes.stack_pages * mmap.PAGESIZE,
                slot - 1,
            )
        table = self._table(name, ctypes.c_uint32, ctypes.c_char * size)
        return bytes(table[ctypes.c_uint32(index)])


def _remove_leftovers() -> None:
    """Of a recorder that was killed the kernel has detached all probes; of kretprobes it still has the names."""
    for path in KPROBE_EVENTS:
        with contextlib.suppress(OSError):
            with open(path) as file:
                names = re.findall(r"^r\d*:(kprobes/r_tcp_\w+_bcc_(\d+)) ", file.read(), re.MULTILINE)
            events = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # to truncate it would remove those of everybody
            for name in (name for name, pid in names if not os.path.exists(f"/proc/{pid}")):
                with contextlib.suppress(OSError):  # somebody uses it
                    os.write(events, f"-:{name}\n".encode())
            os.close(events)
            return


def _profile_misses(suffix: str) -> Iterable[int]:
    """Misses of our probes that are kprobe events: `name hits misses` lines."""
    for path in _KPROBE_PROFILES:
        with contextlib.suppress(OSError), open(path) as file:
            return [int(line.split()[2]) for line in file if line.split()[0].endswith(suffix)]
    return []
