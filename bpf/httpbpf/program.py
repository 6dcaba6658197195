"""Build the BPF program in the form that BCC compiles: one text, and -D constants from BTF and the recorder's options.

The text is the concatenation of the .h files and probes.c, because BCC rewrites map methods in the main file only.
"""

from __future__ import annotations

from typing import NamedTuple

from .btf import Btf, BtfError, first_offset
from .layout import MAX_FRAMES
from .sources import read_source

_FILES = (
    "rows.h",
    "runtime_rows.h",
    "kernel.h",
    "arch_x86.h",
    "maps.h",
    "transfers.h",
    "addresses.h",
    "threads.h",
    "slots.h",
    "stack_copy.h",
    "stack_frames.h",
    "stack.h",
    "runtimes.h",
    "network.h",
    "head_slots.h",
    "short_calls.h",
    "output.h",
    "buffers.h",
    "tracepoints.h",
    "heads.h",
    "tls.h",
    "bare_heads.h",
    "kept_heads.h",
    "hellos.h",
    "tls_sessions.h",
    "roles.h",
    "sequences.h",
    "upgrades.h",
    "pairing.h",
    "frames.h",
    "tls_streams.h",
    "http2.h",
    "tls_plaintext.h",
    "probes.c",
    "walk_memory.h",
    "python_walk.h",
    "php_walk.h",
    "walks.h",
    "http2_calls.h",
    "header_blocks.h",
    "http2_walk.h",
)
_USE = {"fexit": "USE_FEXIT", "kprobe": "USE_KPROBES", "tracepoint": "USE_TRACEPOINTS"}
_TCP_COUNTS = ("segs_out", "total_retrans", "rcv_ooopack", "srtt_us")  # of struct tcp_sock
_TRACEPOINT_MEMBERS = ("sk_protocol", "sk_type")  # of struct sock; only tracepoints need them
FEW_SLOTS = 16


class Sizes(NamedTuple):
    """Say how much the program can remember and send, and what that costs in kernel memory."""

    connections: int = 65536  # 384 bytes each, and the overhead of a hash map
    http2_connections: int = 2048  # of them; 900 bytes each, and the overhead of a hash map
    streams: int = 8192  # of all of these that are open; as many bytes each as a connection
    threads: int = 16384  # 32 bytes each, and the overhead of a hash map; used with kprobes only
    stack_pages: int = 4  # pages of 4,096 bytes in a stack copy; 0: no copies
    stack_slots: int = 1024  # copies that wait for their calls: stack_pages and 224 bytes each
    frame_slots: int = 2048  # frame-pointer stacks that wait for their calls: 1,240 bytes each
    receive_stacks: int = 0  # 1: record the receiving side's stacks too
    call_ring_pages: int = 1024
    completion_ring_pages: int = 256
    stack_ring_pages: int = 2048
    process_ring_pages: int = 16
    short_ring_pages: int = 0  # calls below the threshold: 96 bytes each; 0: they are counted only
    connection_ring_pages: int = 0  # what those of a connection have in common: 80 bytes each
    streams_end_ring_pages: int = 16
    python_ring_pages: int = 512  # 0: no frames of Python and PHP
    http_bytes: int = 512  # of the head of a HTTP/1 request; 0: heads are not kept
    head_slots: int = 2048  # heads that wait for their calls: http_bytes and 320 bytes each
    head_ring_pages: int = 128
    block_ring_pages: int = 256  # header blocks of HTTP/2, 32 bytes and those of the block each; 0: none are sent
    tls_sessions: int = 0  # whose heads are read: 2 * http_bytes and 260 bytes each; 0: none are

    @property
    def copies(self) -> int:
        """Return how many stack copies can wait for their calls."""
        return self.stack_slots if self.stack_pages else 0

    @property
    def steps_a_run(self) -> int:
        """Return how many steps from frame to frame of HTTP/2 a run takes (http2_walk.h). The verifier has more work
        with one that follows frame pointers."""
        return 24 if self.stack_pages else 12

    @property
    def walked_slots(self) -> int:
        """Return how many stacks that wait for their calls can have frames of Python or PHP: 5,800 bytes each."""
        return min(self.stack_slots, self.copies or self.frame_slots) if self.python_ring_pages else 0


# BCC runs LLVM's passes on what clang hands it: clang's own before that take a quarter of the time, and change little.
_WITHOUT_PASSES = ("-Xclang", "-disable-llvm-passes")


class Program(NamedTuple):
    """Hold what to compile, and the kernel functions to attach to by kprobe and kretprobe."""

    text: str
    cflags: list[str]
    functions: list[str]
    walk_problem: str  # why it walks no frames of Python and PHP although they are wanted, or ""


def _inode_of_namespace(btf: Btf) -> int:
    """Return the offset of ns.inum in struct net."""
    return first_offset(btf.members("net"), ["ns"]) + first_offset(btf.members("ns_common"), ["inum"])


def _walk_constants(btf: Btf, sizes: Sizes) -> dict[str, int]:
    """Return the constants of runtimes.h. Raises BtfError, also if the processor is another than x86-64, whose threads'
    pointer is `fsbase`."""
    task, mm, inode = btf.members("task_struct"), btf.members("mm_struct"), btf.members("inode")
    thread = btf.members("thread_struct")
    if "fsbase" not in thread:
        raise BtfError("frames of Python and PHP are followed on x86-64 only")
    return {
        "WALKED_SLOTS": sizes.walked_slots,
        "WALKED_RING_PAGES": sizes.python_ring_pages,
        "TASK_STRUCT__FSBASE": first_offset(task, ["thread"]) + first_offset(thread, ["fsbase"]),
        "TASK_STRUCT__MM": first_offset(task, ["mm"]),
        "MM_STRUCT__EXE_FILE": first_offset(mm, ["exe_file"]),
        "MM_STRUCT__START_CODE": first_offset(mm, ["start_code"]),
        "FILE__F_INODE": first_offset(btf.members("file"), ["f_inode"]),
        "INODE__I_INO": first_offset(inode, ["i_ino"]),
        "INODE__I_SB": first_offset(inode, ["i_sb"]),
        "SUPER_BLOCK__S_DEV": first_offset(btf.members("super_block"), ["s_dev"]),
    }


def _offsets(btf: Btf) -> dict[str, int]:
    task, sock, iter_ = btf.members("task_struct"), btf.members("sock_common"), btf.members("iov_iter")
    tcp = btf.members("tcp_sock")
    offsets = {
        "TASK_STRUCT__FLAGS": first_offset(task, ["flags"]),
        "TASK_STRUCT__STACK": first_offset(task, ["stack"]),
        "TASK_STRUCT__PID": first_offset(task, ["pid"]),
        "TASK_STRUCT__TGID": first_offset(task, ["tgid"]),
        "TASK_STRUCT__GROUP_LEADER": first_offset(task, ["group_leader"]),
        "TASK_STRUCT__COMM": first_offset(task, ["comm"]),
        # renamed in 5.5, commit cf25e24db61c
        "TASK_STRUCT__START_BOOTTIME": first_offset(task, ["start_boottime", "real_start_time"]),
        "SOCK__SK_ERR": first_offset(btf.members("sock"), ["sk_err"]),
        "SOCK__SK_SHUTDOWN": first_offset(btf.members("sock"), ["sk_shutdown"]),
        "TCP_SOCK__RCV_NXT": first_offset(tcp, ["rcv_nxt"]),
        "TCP_SOCK__COPIED_SEQ": first_offset(tcp, ["copied_seq"]),
        "TCP_SOCK__WRITE_SEQ": first_offset(tcp, ["write_seq"]),
        "NET__NS__INUM": _inode_of_namespace(btf),
        "MSGHDR__MSG_ITER": first_offset(btf.members("msghdr"), ["msg_iter"]),
        "IOV_ITER__IOV_OFFSET": first_offset(iter_, ["iov_offset"]),
        "IOV_ITER__COUNT": first_offset(iter_, ["count"]),
        "IOV_ITER__IOV": first_offset(iter_, ["__iov", "iov"]),  # renamed in 6.4, commit de4f5fed3f23
    }
    offsets.update(
        (f"SOCK_COMMON__{name.upper()}", first_offset(sock, [name]))
        for name in ("skc_family", "skc_num", "skc_dport", "skc_daddr", "skc_rcv_saddr", "skc_net")
    )
    offsets.update((f"TCP_SOCK__{name.upper()}", tcp.get(name, 0)) for name in _TCP_COUNTS)
    for optional in ("skc_v6_daddr", "skc_v6_rcv_saddr"):
        if optional in sock:
            offsets[f"SOCK_COMMON__{optional.upper()}"] = sock[optional]
    for optional in ("iter_type", "type", "ubuf"):
        if optional in iter_:
            offsets[f"IOV_ITER__{optional.upper()}"] = iter_[optional]
    offsets["IOV_ITER_SIZE"] = 8 + max(offset for name, offset in offsets.items() if name.startswith("IOV_ITER__"))
    kinds = btf.enumerators("iter_type")
    offsets["ITER_IOVEC"] = first_offset(kinds, ["ITER_IOVEC"])
    if "ITER_UBUF" in kinds:
        offsets["ITER_UBUF"] = kinds["ITER_UBUF"]
    return offsets


def _prototypes(btf: Btf) -> dict[str, int]:
    """Return constants that say where `flags` is among the parameters of tcp_recvmsg, of which it has had 6 to 4, and
    how many parameters each function has, behind which fexit finds the return value."""
    receive = btf.parameters("tcp_recvmsg")
    if "flags" not in receive:
        raise BtfError("tcp_recvmsg of this kernel has no parameter flags")
    constants = {
        "TCP_SENDMSG_ARGUMENTS": len(btf.parameters("tcp_sendmsg")),
        "TCP_RECVMSG_ARGUMENTS": len(receive),
        "TCP_RECVMSG_FLAGS": receive.index("flags"),
    }
    if btf.has_function("tcp_sendpage"):
        constants["TCP_SENDPAGE_ARGUMENTS"] = len(btf.parameters("tcp_sendpage"))
    return constants


def build_program(
    btf: Btf, sizes: Sizes, *, threshold_ns: int, filter_processes: bool, probes: str, processors: int = 1
) -> Program:
    """Return the program for one kernel. `probes` is fexit, kprobe or tracepoint; `processors` is how many the kernel
    may have, each of which keeps a few free slots.

    Raises BtfError if the kernel lacks a function or member that the program needs.
    """
    prototypes = _prototypes(btf)
    walk, walk_problem = {}, ""
    if sizes.walked_slots:
        try:
            walk = _walk_constants(btf, sizes)
        except BtfError as error:
            walk_problem = str(error)
    constants = {
        "MAX_FRAMES": MAX_FRAMES,
        "MAX_CONNECTIONS": sizes.connections,
        "MAX_THREADS": sizes.threads,
        "CALL_RING_PAGES": sizes.call_ring_pages,
        "COMPLETION_RING_PAGES": sizes.completion_ring_pages,
        "STACK_RING_PAGES": sizes.stack_ring_pages,
        "PROCESS_RING_PAGES": sizes.process_ring_pages,
        "SHORT_RING_PAGES": sizes.short_ring_pages,
        "CONNECTION_RING_PAGES": sizes.connection_ring_pages,
        "HTTP_BYTES": sizes.http_bytes,
        "HEAD_SLOTS": sizes.head_slots,
        "HEAD_RING_PAGES": sizes.head_ring_pages,
        "BLOCK_RING_PAGES": sizes.block_ring_pages,
        "TLS_SESSIONS": sizes.tls_sessions,
        "STREAMS_END_RING_PAGES": sizes.streams_end_ring_pages,
        "MAX_STREAMS": sizes.streams,
        "MAX_HTTP2_DIRECTIONS": 2 * sizes.http2_connections,
        "STACK_PAGES": sizes.stack_pages,
        "STACK_SLOTS": sizes.copies,
        "FRAME_SLOTS": sizes.frame_slots,
        "FEW_SLOTS": FEW_SLOTS,
        "STEPS_A_RUN": sizes.steps_a_run,
        "PROCESSORS": processors,
        "RECEIVE_STACKS": sizes.receive_stacks,
        "THRESHOLD_NS": threshold_ns,
        **_offsets(btf),
        **prototypes,
        **walk,
    }
    if probes == "tracepoint":
        sock = btf.members("sock")
        constants.update((f"SOCK__{name.upper()}", first_offset(sock, [name])) for name in _TRACEPOINT_MEMBERS)
    cflags = [f"-D{name}={value}" for name, value in constants.items()]
    cflags += ["-DFILTER_PROCESSES"] * filter_processes + [f"-D{_USE[probes]}"]
    cflags += [*_WITHOUT_PASSES, "-g0"]  # -g0: BCC asks for debugging information, which nobody reads
    functions = ["tcp_sendmsg", "tcp_recvmsg"] + ["tcp_sendpage"] * ("TCP_SENDPAGE_ARGUMENTS" in prototypes)
    text = "#include <uapi/linux/ptrace.h>\n" + "\n".join(map(read_source, _FILES))
    return Program(text, cflags, functions, walk_problem)
