"""The BPF program as BCC takes it: one text, and one list of -D constants from BTF and the recorder's options.

The text is the concatenation of the .h files and probes.c, since BCC rewrites map methods in the main file only.
"""

from __future__ import annotations

from typing import NamedTuple

from .btf import Btf, BtfError, first_of
from .layout import MAX_FRAMES
from .sources import read

_FILES = (
    "rows.h",
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
    "output.h",
    "buffers.h",
    "tracepoints.h",
    "pairing.h",
    "probes.c",
)
_USE = {"fexit": "USE_FEXIT", "kprobe": "USE_KPROBES", "tracepoint": "USE_TRACEPOINTS"}
_OF_TRACEPOINTS = ("sk_protocol", "sk_type", "sk_shutdown")  # of struct sock
FEW_SLOTS = 16


class Sizes(NamedTuple):
    """Room for what the program remembers and sends, with its cost in kernel memory."""

    connections: int = 65536  # 240 bytes each, and the cost of a hash map
    threads: int = 16384  # 32 bytes each, and the cost of a hash map; with kprobes only
    stack_pages: int = 4  # of a stack copy, each 4,096 bytes; 0 for none
    stack_slots: int = 1024  # copies that wait for their calls: stack_pages and 224 bytes each
    frame_slots: int = 2048  # stacks by frame pointer that wait: 1,240 bytes each
    receive_stacks: int = 0  # 1 for the receiving side's stacks too
    call_ring_pages: int = 1024
    completion_ring_pages: int = 256
    stack_ring_pages: int = 4096
    process_ring_pages: int = 16

    @property
    def copies(self) -> int:
        """How many stack copies can wait."""
        return self.stack_slots if self.stack_pages else 0


class Program(NamedTuple):
    """What to compile, and which kernel functions it wants to be attached to as kprobe and kretprobe."""

    text: str
    cflags: list[str]
    functions: list[str]


def _offsets(btf: Btf) -> dict[str, int]:
    task, sock, iter_ = btf.members("task_struct"), btf.members("sock_common"), btf.members("iov_iter")
    offsets = {
        "TASK_STRUCT__FLAGS": first_of(task, ["flags"]),
        "TASK_STRUCT__STACK": first_of(task, ["stack"]),
        "TASK_STRUCT__PID": first_of(task, ["pid"]),
        "TASK_STRUCT__TGID": first_of(task, ["tgid"]),
        "TASK_STRUCT__GROUP_LEADER": first_of(task, ["group_leader"]),
        "TASK_STRUCT__COMM": first_of(task, ["comm"]),
        # renamed in 5.5, commit cf25e24db61c
        "TASK_STRUCT__START_BOOTTIME": first_of(task, ["start_boottime", "real_start_time"]),
        "SOCK__SK_ERR": first_of(btf.members("sock"), ["sk_err"]),
        "MSGHDR__MSG_ITER": first_of(btf.members("msghdr"), ["msg_iter"]),
        "IOV_ITER__IOV_OFFSET": first_of(iter_, ["iov_offset"]),
        "IOV_ITER__COUNT": first_of(iter_, ["count"]),
        "IOV_ITER__IOV": first_of(iter_, ["__iov", "iov"]),  # renamed in 6.4, commit de4f5fed3f23
    }
    offsets.update(
        (f"SOCK_COMMON__{name.upper()}", first_of(sock, [name]))
        for name in ("skc_family", "skc_num", "skc_dport", "skc_daddr", "skc_rcv_saddr")
    )
    for optional in ("skc_v6_daddr", "skc_v6_rcv_saddr"):
        if optional in sock:
            offsets[f"SOCK_COMMON__{optional.upper()}"] = sock[optional]
    for optional in ("iter_type", "type", "ubuf"):
        if optional in iter_:
            offsets[f"IOV_ITER__{optional.upper()}"] = iter_[optional]
    offsets["IOV_ITER_SIZE"] = 8 + max(offset for name, offset in offsets.items() if name.startswith("IOV_ITER__"))
    kinds = btf.enumerators("iter_type")
    offsets["ITER_IOVEC"] = first_of(kinds, ["ITER_IOVEC"])
    if "ITER_UBUF" in kinds:
        offsets["ITER_UBUF"] = kinds["ITER_UBUF"]
    return offsets


def _prototypes(btf: Btf) -> dict[str, int]:
    """tcp_recvmsg has had 6 to 4 parameters: where `flags` is, and where fexit finds the return value."""
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


def build(
    btf: Btf, sizes: Sizes, *, threshold_ns: int, filter_processes: bool, probes: str, processors: int = 1
) -> Program:
    """`probes`: fexit, kprobe or tracepoint. `processors`: how many there can be; each keeps a few free slots.

    Raises BtfError where the kernel lacks what it cannot do without.
    """
    prototypes = _prototypes(btf)
    constants = {
        "MAX_FRAMES": MAX_FRAMES,
        "MAX_CONNECTIONS": sizes.connections,
        "MAX_THREADS": sizes.threads,
        "CALL_RING_PAGES": sizes.call_ring_pages,
        "COMPLETION_RING_PAGES": sizes.completion_ring_pages,
        "STACK_RING_PAGES": sizes.stack_ring_pages,
        "PROCESS_RING_PAGES": sizes.process_ring_pages,
        "STACK_PAGES": sizes.stack_pages,
        "STACK_SLOTS": sizes.copies,
        "FRAME_SLOTS": sizes.frame_slots,
        "FEW_SLOTS": FEW_SLOTS,
        "PROCESSORS": processors,
        "RECEIVE_STACKS": sizes.receive_stacks,
        "THRESHOLD_NS": threshold_ns,
        **_offsets(btf),
        **prototypes,
    }
    if probes == "tracepoint":
        sock = btf.members("sock")
        constants.update((f"SOCK__{name.upper()}", first_of(sock, [name])) for name in _OF_TRACEPOINTS)
    cflags = [f"-D{name}={value}" for name, value in constants.items()]
    cflags += ["-DFILTER_PROCESSES"] * filter_processes + [f"-D{_USE[probes]}"]
    functions = ["tcp_sendmsg", "tcp_recvmsg"] + ["tcp_sendpage"] * ("TCP_SENDPAGE_ARGUMENTS" in prototypes)
    text = "#include <uapi/linux/ptrace.h>\n" + "\n".join(map(read, _FILES))
    return Program(text, cflags, functions)
