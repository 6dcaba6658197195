"""Check that the real BCC compiles the program for every supported kernel, with nothing but the tree that comes with
it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from httpbpf import layout
from httpbpf.btf import VMLINUX, Btf, BtfError
from httpbpf.program import Program, Sizes, build_program
from httprec.loader import WALK_MAPS

SYSTEM_PYTHON = "/usr/bin/python3"
KERNEL_TREE = Path(layout.__file__).with_name("kernel")
COMPILER = Path(__file__).parents[1] / "support" / "compile_programs.py"
SIZES = Sizes(connections=64, threads=64, stack_slots=8, frame_slots=8)
FEW_PAGES = SIZES._replace(stack_pages=0)
BOTH_SIDES = SIZES._replace(receive_stacks=1)
SHORT_ROWS = SIZES._replace(short_ring_pages=1, connection_ring_pages=1)
TRACEPOINTS = ("tcp_sendmsg_locked", "sock_send_length", "sock_recv_length", "tcp_destroy_sock")
HEADERS = ("/lib/modules", "/usr/src", "/usr/include")  # wherever a compiler could find some


class Kernel(Btf):
    """Answer as the running kernel does, with some answers replaced."""

    def __init__(self, **changes: Mapping[str, object]) -> None:
        super().__init__(Path(VMLINUX).read_bytes())
        self._changes = changes

    def _changed(self, kind: str, name: str, answer: object) -> object:
        return self._changes.get(kind, {}).get(name, answer)

    def members(self, struct_name: str) -> dict[str, int]:
        changed = self._changed("members", struct_name, {})
        assert isinstance(changed, dict)
        renamed: dict[str, int] = {}
        for name, offset in super().members(struct_name).items():
            if changed.get(name, name):
                renamed[changed.get(name, name)] = offset
        return renamed

    def enumerators(self, enum_name: str) -> dict[str, int]:
        changed = self._changed("enumerators", enum_name, super().enumerators(enum_name))
        assert isinstance(changed, dict)
        return changed

    def parameters(self, function: str) -> list[str]:
        known = super().parameters(function) if super().has_function(function) else []
        changed = self._changed("parameters", function, known)
        assert isinstance(changed, list)
        if not changed:
            raise BtfError(f"no function {function}")
        return changed

    def has_function(self, function: str) -> bool:
        return bool(self._changed("parameters", function, super().has_function(function)))


def linux_5_10() -> Kernel:
    """Change the answers to those of Linux 5.10: bits and direction in one `type`, no ITER_UBUF, `nonblock`, and
    sendpage."""
    return Kernel(
        members={"iov_iter": {"iter_type": "type", "ubuf": "", "__iov": "iov"}},
        enumerators={"iter_type": {"ITER_IOVEC": 4, "ITER_KVEC": 8, "ITER_BVEC": 16, "ITER_PIPE": 32}},
        parameters={
            "tcp_recvmsg": ["sk", "msg", "len", "nonblock", "flags", "addr_len"],
            "tcp_sendpage": ["sk", "page", "offset", "size", "flags"],
        },
    )


def linux_6_1() -> Kernel:
    return Kernel(
        members={"iov_iter": {"__iov": "iov"}},
        parameters={
            "tcp_recvmsg": ["sk", "msg", "len", "flags", "addr_len"],
            "tcp_sendpage": ["sk", "page", "offset", "size", "flags"],
        },
    )


def linux_7_2() -> Kernel:
    return Kernel(parameters={"tcp_recvmsg": ["sk", "msg", "len", "flags"], "tcp_sendpage": []})


def without_ipv6() -> Kernel:
    return Kernel(members={"sock_common": {"skc_v6_daddr": "", "skc_v6_rcv_saddr": ""}})


def without_counts() -> Kernel:
    return Kernel(members={"tcp_sock": dict.fromkeys(("segs_out", "rcv_ooopack", "srtt_us"), "")})


class Case(NamedTuple):
    kernel: Callable[[], Kernel] = Kernel
    sizes: Sizes = SIZES
    filter_processes: bool = False
    probes: str = "kprobe"
    load: bool = False  # into the running kernel

    def program(self) -> Program:
        return build_program(
            self.kernel(),
            self.sizes,
            threshold_ns=100_000_000,
            filter_processes=self.filter_processes,
            probes=self.probes,
        )


CASES = {
    "kprobe": Case(load=True),
    "kprobe, filtered": Case(filter_processes=True, load=True),
    "kprobe, no stack copies": Case(sizes=FEW_PAGES, filter_processes=True, load=True),
    "kprobe, both sides": Case(sizes=BOTH_SIDES, filter_processes=True, load=True),
    "kprobe, both sides, no stack copies": Case(sizes=FEW_PAGES._replace(receive_stacks=1), load=True),
    "fexit": Case(probes="fexit"),
    "fexit, no walks": Case(sizes=SIZES._replace(python_ring_pages=0), probes="fexit"),
    "tracepoint, no walks": Case(sizes=SIZES._replace(python_ring_pages=0), probes="tracepoint", load=True),
    "fexit, both sides": Case(sizes=BOTH_SIDES, probes="fexit"),
    "5.10 kprobe": Case(linux_5_10, filter_processes=True),
    "5.10 fexit": Case(linux_5_10, probes="fexit"),
    "5.10 kprobe, both sides": Case(linux_5_10, sizes=BOTH_SIDES),
    "6.1 fexit, filtered": Case(linux_6_1, filter_processes=True, probes="fexit"),
    "7.2 kprobe": Case(linux_7_2),
    "tracepoint": Case(probes="tracepoint", load=True),
    "tracepoint, filtered": Case(filter_processes=True, probes="tracepoint", load=True),
    "tracepoint, both sides": Case(sizes=BOTH_SIDES, probes="tracepoint", load=True),
    "tracepoint, short rows": Case(sizes=SHORT_ROWS, filter_processes=True, probes="tracepoint", load=True),
    "kprobe, short rows": Case(sizes=SHORT_ROWS, load=True),
    "fexit, short rows": Case(sizes=SHORT_ROWS, probes="fexit"),
    "tracepoint, no stack copies": Case(sizes=FEW_PAGES, probes="tracepoint", load=True),
    "without IPv6": Case(without_ipv6),
    "without TCP's counts": Case(without_counts),
}


class Compiled(NamedTuple):
    functions: dict[str, int]
    leaves: dict[str, int]
    refused: dict[str, str]


@pytest.fixture(scope="module")
def compiled() -> dict[str, Compiled]:
    """Compile all cases where only the headers of the package's own tree can be found, and return the results."""
    if os.geteuid() != 0:
        pytest.skip("not root: cannot hide the kernel's headers")
    if subprocess.run([SYSTEM_PYTHON, "-c", "from bcc import BPF"], capture_output=True, check=False).returncode:
        pytest.skip("no BCC: apt install python3-bpfcc")
    programs = [{"text": p.text, "cflags": p.cflags, "load": c.load} for c in CASES.values() for p in [c.program()]]
    hide = "".join(f"mount -t tmpfs none {folder}\n" for folder in HEADERS if os.path.isdir(folder))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", f'{hide} exec "$@"', "sh", SYSTEM_PYTHON, "-P", str(COMPILER)],
        input=json.dumps(programs),
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "BCC_KERNEL_SOURCE": str(KERNEL_TREE)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert not [answer["error"] for answer in answers if "error" in answer], done.stderr
    return {name: Compiled(**answer) for name, answer in zip(CASES, answers)}


@pytest.mark.parametrize("name", CASES)
def test_compiles_without_any_kernel_header(compiled: dict[str, Compiled], name: str) -> None:
    functions, program = set(compiled[name].functions), CASES[name].program()
    if CASES[name].probes == "tracepoint":
        wanted = {f"raw_tracepoint__{event}" for event in TRACEPOINTS}
    elif CASES[name].probes == "fexit":
        wanted = {f"{kind}__{function}" for kind in ("kfunc", "kretfunc") for function in program.functions}
        wanted.add("kfunc__tcp_close")
        wanted.remove("kfunc__tcp_recvmsg")  # its return has the arguments
    else:
        wanted = {f"{kind}_{function}" for kind in ("enter", "return") for function in program.functions}
        wanted |= {"enter_tcp_close", "raw_tracepoint__sched_process_exit"}
    wanted |= {"raw_tracepoint__inet_sock_set_state", "walk_streams", "begin_walk_of_receive"}
    assert functions >= wanted
    assert all(compiled[name].functions[function] > 2 * 8 for function in wanted)  # no empty one


def test_the_filter_is_in_the_program_only_when_it_is_wanted(compiled: dict[str, Compiled]) -> None:
    plain, filtered = compiled["kprobe"].functions, compiled["kprobe, filtered"].functions
    assert filtered["enter_tcp_sendmsg"] > plain["enter_tcp_sendmsg"]


def test_the_receiving_sides_stack_is_taken_by_receives_and_only_when_it_is_wanted(
    compiled: dict[str, Compiled],
) -> None:
    one, both = compiled["kprobe, filtered"].functions, compiled["kprobe, both sides"].functions
    assert both["return_tcp_recvmsg"] > one["return_tcp_recvmsg"]
    assert both["enter_tcp_recvmsg"] == one["enter_tcp_recvmsg"]
    grown = {function: both[function] - one[function] for function in ("enter_tcp_sendmsg", "return_tcp_recvmsg")}
    assert grown["enter_tcp_sendmsg"] < grown["return_tcp_recvmsg"]  # a send only gives the other stack's slot back


def test_the_kernel_agrees_with_user_space_on_the_size_of_what_it_hands_over(compiled: dict[str, Compiled]) -> None:
    leaves = compiled["kprobe"].leaves
    assert leaves["connections"] == layout.CONNECTION.size
    assert leaves["streams"] == layout.CONNECTION.size
    assert leaves["counters"] == 8
    assert leaves["process_filters"] == 256 + 256 * 256
    assert leaves["stack_copies"] == layout.STACK_ROW.size + SIZES.stack_pages * 4096
    assert leaves["stack_frames"] == layout.STACK_FRAMES_SIZE
    assert leaves["fast_calls"] == layout.FAST_CALLS.size
    assert leaves["runtimes"] == leaves["executables"] == layout.RUNTIME.size
    assert leaves["walked_stacks"] == layout.WALKED_STACK_SIZE


def test_walks_are_in_the_program_only_when_they_are_wanted(compiled: dict[str, Compiled]) -> None:
    walks = {"walk_python", "walk_php"}
    assert walks <= set(compiled["fexit"].functions)
    without = compiled["fexit, no walks"]
    assert walks.isdisjoint(without.functions)
    assert set(WALK_MAPS).isdisjoint(without.leaves)
    entry = "kfunc__tcp_sendmsg"
    assert compiled["fexit"].functions[entry] > without.functions[entry]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.load])
def test_the_verifier_of_this_kernel_takes_it(compiled: dict[str, Compiled], name: str) -> None:
    refused = compiled[name].refused
    if any("Operation not permitted" in error or "Permission denied" in error for error in refused.values()):
        pytest.skip(f"this kernel loads no probes: {refused}")
    assert not refused


def constants(program: Program) -> dict[str, str]:
    return dict(flag[2:].partition("=")[::2] for flag in program.cflags)


@pytest.mark.parametrize(
    ("kernel", "arguments", "flags"), [(linux_5_10, "6", "4"), (linux_6_1, "5", "3"), (linux_7_2, "4", "3")]
)
def test_flags_are_where_the_kernel_has_them(kernel: Callable[[], Kernel], arguments: str, flags: str) -> None:
    found = constants(build_program(kernel(), SIZES, threshold_ns=0, filter_processes=False, probes="fexit"))
    assert (found["TCP_RECVMSG_ARGUMENTS"], found["TCP_RECVMSG_FLAGS"]) == (arguments, flags)


def test_sendpage_is_probed_where_the_kernel_has_it() -> None:
    old = build_program(linux_5_10(), SIZES, threshold_ns=0, filter_processes=False, probes="kprobe")
    new = build_program(linux_7_2(), SIZES, threshold_ns=0, filter_processes=False, probes="kprobe")
    assert old.functions == ["tcp_sendmsg", "tcp_recvmsg", "tcp_sendpage"]
    assert new.functions == ["tcp_sendmsg", "tcp_recvmsg"]


def test_options_reach_the_program() -> None:
    program = build_program(Kernel(), SIZES, threshold_ns=250, filter_processes=True, probes="fexit")
    found = constants(program)
    assert found["THRESHOLD_NS"] == "250" and found["MAX_CONNECTIONS"] == "64"
    assert {"-DFILTER_PROCESSES", "-DUSE_FEXIT"} <= set(program.cflags)
    plain = build_program(Kernel(), SIZES, threshold_ns=250, filter_processes=False, probes="kprobe")
    assert not {"-DFILTER_PROCESSES", "-DUSE_FEXIT"} & set(plain.cflags)


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [({"thread_struct": {"fsbase": ""}}, "x86-64"), ({"mm_struct": {"exe_file": ""}}, "exe_file")],
)
def test_a_kernel_whose_frames_of_interpreters_cannot_be_followed_gets_a_program_without_them(
    lacking: dict[str, dict[str, str]], reason: str
) -> None:
    program = build_program(Kernel(members=lacking), SIZES, threshold_ns=0, filter_processes=False, probes="fexit")
    found = constants(program)
    assert "WALKED_SLOTS" not in found and "MAX_CONNECTIONS" in found
    assert reason in program.walk_problem


@pytest.mark.parametrize(
    ("kernel", "named"),
    [
        (lambda: Kernel(members={"sock": {"sk_err": ""}}), "sk_err"),
        (lambda: Kernel(members={"task_struct": {"start_boottime": ""}}), "start_boottime or real_start_time"),
        (lambda: Kernel(enumerators={"iter_type": {}}), "ITER_IOVEC"),
        (lambda: Kernel(parameters={"tcp_recvmsg": []}), "tcp_recvmsg"),
        (lambda: Kernel(parameters={"tcp_recvmsg": ["sk", "msg", "len"]}), "flags"),
    ],
    ids=["member", "renamed member", "enumerator", "function", "parameter"],
)
def test_a_kernel_that_lacks_something_is_told_what(kernel: Callable[[], Kernel], named: str) -> None:
    with pytest.raises(BtfError, match=named):
        build_program(kernel(), SIZES, threshold_ns=0, filter_processes=False, probes="kprobe")


def test_the_program_includes_nothing_of_the_kernel() -> None:
    text = build_program(Kernel(), SIZES, threshold_ns=0, filter_processes=False, probes="kprobe").text
    assert [line for line in text.splitlines() if line.startswith("#include")] == ["#include <uapi/linux/ptrace.h>"]
    assert (KERNEL_TREE / "include/uapi/linux/ptrace.h").is_file()
