"""Check that a stack walk finds all frames that gdb finds, and tells how it found them and why it ended."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpreport.unwind import AddressSpace, CodeRange, End, Found, Unwinder
from httpreport.unwind.arch import X86_64
from httpreport.unwind.fast import FastWalker
from httpreport.unwind.walk import MAX_FRAMES, full_walk
from support.compiled import JIT, compiled, run
from support.debian import unpack_packages
from support.stacks import RecordedStack, blocked, sample, stepped, taken_from, wait_until_blocked
from workload.waiting import wait_until

WITHOUT_FRAME_POINTERS = ["-fomit-frame-pointer", "-fno-optimize-sibling-calls"]

C_CALLS = """
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define CALLED __attribute__((noinline)) int
CALLED leaf(char *bytes, int size) { return read(0, bytes, size); }
CALLED with_array(int size) {
  char bytes[size];
  memset(bytes, size, size);
  return leaf(bytes, size) + bytes[0];
}
CALLED aligned(int size) {
  __attribute__((aligned(64))) char line[64];
  memset(line, 1, 64);
  return with_array(size + line[3]) + line[5];
}
CALLED recurse(int depth, int size) { return depth ? recurse(depth - 1, size) + depth : aligned(size); }
static int compare(const void *a, const void *b) {
  static int calls;
  return ++calls == 3 ? recurse(20, 7) : *(int *)a - *(int *)b;
}
int main(void) {
  int numbers[] = {5, 3, 9, 1, 2};
  qsort(numbers, 5, 4, compare);
  return numbers[0];
}
"""

SIGNAL = """
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
static void handler(int signal) { char byte; if (read(0, &byte, 1) != signal) _exit(1); }
__attribute__((noinline)) int divide(int a, int b) { return a / b; }
int main(int argc, char **argv) {
  static char other_stack[1 << 16];
  stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof other_stack};
  struct sigaction action = {.sa_handler = handler, .sa_flags = argc > 1 ? SA_ONSTACK : 0};
  sigaltstack(&stack, 0);
  sigaction(SIGFPE, &action, 0);
  return divide(argc, argc - (argc > 1 ? 2 : 1));
}
"""

THREAD = """
#include <pthread.h>
#include <unistd.h>
static void *work(void *argument) { char byte; return read(0, &byte, 1) ? argument : 0; }
int main(void) { pthread_t thread; pthread_create(&thread, 0, work, 0); pthread_join(thread, 0); return 0; }
"""

CXX = """
#include <algorithm>
#include <functional>
#include <stdexcept>
#include <vector>
#include <unistd.h>
template <typename T> struct Guard { T value; ~Guard() { char byte; if (value && read(0, &byte, 1) == 7) value = 0; } };
static void thrower(int n) { Guard<int> guard{n == 3}; if (n == 3) throw std::runtime_error("three"); }
int main() {
  std::vector<int> numbers{1, 2, 3};
  std::function<void(int)> call = thrower;
  try { std::for_each(numbers.begin(), numbers.end(), call); } catch (const std::exception &) { return 1; }
}
"""

STUB = """
    .text
    .globl bare_read
    .type bare_read, @function
bare_read:
    xor %eax, %eax
    syscall
    ret
    .size bare_read, . - bare_read
    .section .note.GNU-stack, "", @progbits
"""

RUST = """
use std::io::Read;
#[inline(never)]
fn recurse(n: u32) -> u32 {
    if n > 0 { recurse(n - 1).wrapping_add(n) } else { std::io::stdin().read(&mut [0u8; 4]).unwrap() as u32 }
}
fn main() { println!("{:?}", vec![5].into_iter().map(recurse).collect::<Vec<u32>>()); }
"""

GO = """
package main
import "os"
type file struct{ f *os.File }
//go:noinline
func (x file) get(n int) int { k, _ := x.f.Read(make([]byte, n)); return k }
//go:noinline
func recurse(r file, n int) int { if n > 0 { return recurse(r, n-1) + n }; return r.get(4) }
func main() { os.Stdin.Fd(); println(recurse(file{os.Stdin}, 6)) }
"""

PYTHON = "import socket; a, b = socket.socketpair(); sorted([1, 2], key=lambda x: [a.recv(1) for _ in (1,)])"
RECVFROM = "45"  # the number of the system call
NODE = "const f = n => n ? f(n - 1) + 1 : require('fs').readSync(0, Buffer.alloc(1)); [1].map(() => f(5))"


def blocked_stack(command: Sequence[str | Path], system_calls: Sequence[str] = ("0",)) -> RecordedStack:
    with blocked(command, system_calls) as pid:
        return taken_from(pid)


@pytest.mark.parametrize(
    ("name", "suite", "frames"),
    [("py311_plain", "bookworm", 28), ("py311_tls", "bookworm", 34), ("py313_plain", "trixie", 28)],
)
def test_recorded_python_stacks_reach_start(name: str, suite: str, frames: int) -> None:
    stack = sample(name, suite)
    walk = Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack)
    assert (len(walk.addresses), walk.end, walk.complete) == (frames, End.OUTERMOST, True)
    assert walk.found == (Found.REGISTERS, *[Found.CFI] * (frames - 1))
    shown = stack.names(walk.addresses)
    assert shown[-1] == "_start"
    assert "__libc_start_main" in shown and "_PyEval_EvalFrameDefault" in shown


def test_c_without_frame_pointers(tmp_path: Path) -> None:
    program = compiled(tmp_path, "calls.c", C_CALLS, WITHOUT_FRAME_POINTERS)
    stack = blocked_stack([program])
    walk = Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack)
    assert walk.addresses == stack.expected
    assert walk.end == End.OUTERMOST
    shown = stack.names(walk.addresses)
    assert shown.count("recurse") == 21 and {"leaf", "with_array", "aligned", "main", "_start"} < set(shown)


def test_c_statically_linked_at_a_fixed_address(tmp_path: Path) -> None:
    program = compiled(tmp_path, "calls.c", C_CALLS, [*WITHOUT_FRAME_POINTERS, "-static", "-no-pie"])
    stack = blocked_stack([program])
    assert Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack).addresses == stack.expected


@pytest.mark.parametrize("arguments", [[], ["on another stack"]], ids=["same stack", "sigaltstack"])
def test_a_signal_handler(tmp_path: Path, arguments: list[str]) -> None:
    program = compiled(tmp_path, "signal.c", SIGNAL, WITHOUT_FRAME_POINTERS)
    stack = blocked_stack([program, *arguments])
    walk = Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack)
    if arguments:
        # The interrupted stack is elsewhere: only one stack is copied. What is on the copied one is all there.
        assert walk.end == End.STACK_ENDED
        assert walk.addresses == stack.expected[: len(walk.addresses)]
        assert stack.names(walk.addresses)[-1] == "divide"
    else:
        assert walk.addresses == stack.expected
        shown = stack.names(walk.addresses)
        assert {"handler", "divide"} < set(shown)
        divide = shown.index("divide")
        assert [position for position, how in enumerate(walk.found) if how is Found.INTERRUPTED] == [divide]
        assert walk.inside[divide] == walk.addresses[divide]
        assert walk.inside[divide + 1] == walk.addresses[divide + 1] - 1


def test_a_thread_ends_in_clone(tmp_path: Path) -> None:
    program = compiled(tmp_path, "thread.c", THREAD, [*WITHOUT_FRAME_POINTERS, "-pthread"])
    with subprocess.Popen([program], stdin=subprocess.PIPE) as process:
        try:
            threads = Path(f"/proc/{process.pid}/task")
            wait_until("the thread to begin", lambda: len(os.listdir(threads)) == 2)
            thread = max(map(int, os.listdir(threads)))
            wait_until_blocked(thread)
            stack = taken_from(thread)
        finally:
            process.kill()
    walk = Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack)
    assert walk.addresses == stack.expected
    assert walk.complete
    assert "work" in stack.names(walk.addresses)


def test_cxx_in_the_clean_up_of_an_exception(tmp_path: Path) -> None:
    program = compiled(tmp_path, "throws.cpp", CXX, WITHOUT_FRAME_POINTERS)
    stack = blocked_stack([program])
    walk = Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack)
    assert walk.addresses == stack.expected
    assert walk.end == End.OUTERMOST


@pytest.mark.parametrize("interpreter", ["/usr/bin/python3", "/usr/bin/perl"])
def test_interpreters_of_the_distribution(interpreter: str) -> None:
    command = {"python3": [interpreter, "-c", PYTHON], "perl": [interpreter, "-e", "sub f { sysread(STDIN, $x, 1) } f"]}
    stack = blocked_stack(command[Path(interpreter).name], ("0", RECVFROM))
    walk = Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack)
    assert walk.addresses == stack.expected
    assert len(walk.addresses) >= 8


def test_python_of_another_release_of_debian(tmp_path: Path) -> None:
    """Its code was made by another compiler and uses another C library than this machine's."""
    packages = ["python3.13-minimal", "libpython3.13-minimal", "libc6", "libexpat1", "zlib1g"]
    unpack_packages("trixie", packages, tmp_path)
    (tmp_path / "lib64").symlink_to("usr/lib64")
    with blocked(["chroot", tmp_path, "/usr/bin/python3.13", "-c", PYTHON], [RECVFROM]) as pid:
        stack = taken_from(pid, tmp_path)
    walk = Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack)
    assert walk.addresses == stack.expected
    assert walk.end == End.OUTERMOST
    shown = stack.names(walk.addresses)
    assert shown[-1] == "_start" and "_PyEval_EvalFrameDefault" in shown
    mapped = {Path(path) for path, _ in stack.biases() if path.startswith("/")}
    assert {path.name for path in mapped} >= {"python3.13", "libc.so.6"}
    assert all(path.is_relative_to(tmp_path) for path in mapped)


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_node_through_its_jit_frames() -> None:
    stack = blocked_stack([shutil.which("node") or "", "-e", NODE])
    walk = Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack)
    shown = stack.names(walk.addresses)
    jit = walk.found.index(Found.FRAME_POINTER)
    # Above the first frame without unwind information gdb guesses, and shows heap addresses as frames.
    assert walk.addresses[:jit] == stack.expected[:jit]
    trampoline = walk.addresses[jit]
    called = list(takewhile(lambda address: address == trampoline, walk.addresses[jit:]))
    assert len(called) >= 8  # readSync, f six times, and the arrow
    above = jit + len(called)
    # Debian's build of node keeps no names of what V8 has compiled in advance.
    assert set(shown[jit:above]) <= {"Builtins_InterpreterEntryTrampoline", None}
    assert shown[above] in ("Builtins_ArrayMap", None)
    assert shown[-1] == "_start" and "_ZN4node5StartEiPPc" in shown
    assert walk.end == End.OUTERMOST


@pytest.mark.skipif(not shutil.which("rustc"), reason="rustc is not installed")
def test_the_stack_of_a_rust_program_is_the_one_that_gdb_finds(tmp_path: Path) -> None:
    (tmp_path / "calls.rs").write_text(RUST)
    run("rustc", "-O", "-o", tmp_path / "calls", tmp_path / "calls.rs")
    stack = blocked_stack([tmp_path / "calls"])
    walk = Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack)
    assert walk.addresses == stack.expected
    assert walk.end == End.OUTERMOST


@pytest.mark.skipif(not shutil.which("go"), reason="go is not installed")
def test_go_which_has_no_unwind_information(tmp_path: Path) -> None:
    (tmp_path / "calls.go").write_text(GO)
    environment = {**os.environ, "GOCACHE": str(tmp_path / "cache"), "GO111MODULE": "off", "CGO_ENABLED": "0"}
    command = ["go", "build", "-o", "calls", "calls.go"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    stack = blocked_stack([tmp_path / "calls"])
    walk = Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack)
    # Below runtime.goexit, the outermost function, gdb shows one more frame, at address 0.
    assert walk.addresses == tuple(address for address in stack.expected if address)
    assert walk.end == End.NO_FRAME_POINTER and walk.found[1] is Found.STACK_TOP
    shown = stack.names(walk.addresses)
    assert shown.count("main.recurse") == 7 and shown[-1] == "runtime.goexit.abi0"


def test_code_without_unwind_information_is_crossed_by_frame_pointer(tmp_path: Path) -> None:
    stack = blocked_stack([compiled(tmp_path, "jit.c", JIT, ["-fno-omit-frame-pointer"])])
    walk = Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack)
    shown = stack.names(walk.addresses)
    block = shown.index("block")
    assert shown[block : block + 3] == ["block", None, "main"]
    assert walk.found[block : block + 3] == (Found.CFI, Found.CFI, Found.FRAME_POINTER)
    assert shown[-1] == "_start" and walk.complete


def test_a_system_call_stub_without_unwind_information(tmp_path: Path) -> None:
    (tmp_path / "stub.s").write_text(STUB)
    source = C_CALLS.replace("read(0", "bare_read(0").replace(
        "#include <unistd.h>", "int bare_read(int, void *, long);"
    )
    program = compiled(tmp_path, "calls.c", source, [*WITHOUT_FRAME_POINTERS, str(tmp_path / "stub.s")])
    stack = blocked_stack([program])
    walk = Unwinder(stack.space(), X86_64).unwind(stack.registers, stack.stack)
    assert walk.addresses == stack.expected
    assert walk.found[:3] == (Found.REGISTERS, Found.STACK_TOP, Found.CFI)
    assert stack.names(walk.addresses)[:2] == ["bare_read", "leaf"]


def test_every_instruction_of_prologues_epilogues_and_lazy_binding(tmp_path: Path) -> None:
    program = compiled(tmp_path, "calls.c", C_CALLS, [*WITHOUT_FRAME_POINTERS, "-no-pie"])
    stacks = stepped(program, "aligned", 400)
    unwinder = Unwinder(stacks[0].space(), X86_64)
    walks = [unwinder.unwind(stack.registers, stack.stack) for stack in stacks]
    assert [walk.addresses for walk in walks] == [stack.expected for stack in stacks]
    assert len({stack.expected for stack in stacks}) > 300


def test_a_signal_at_every_instruction_of_prologues_and_epilogues(tmp_path: Path) -> None:
    handler = "#include <signal.h>\nstatic void handler(int number) { (void)number; }\n"
    source = handler + C_CALLS.replace("int main(void) {", "int main(void) {\n  signal(SIGUSR1, handler);")
    program = compiled(tmp_path, "calls.c", source, [*WITHOUT_FRAME_POINTERS, "-no-pie"])
    stacks = stepped(program, "recurse", 150, interrupted=True)
    unwinder = Unwinder(stacks[0].space(), X86_64)
    walks = [unwinder.unwind(stack.registers, stack.stack) for stack in stacks]
    assert [walk.addresses for walk in walks] == [stack.expected for stack in stacks]
    assert all(walk.found[2] is Found.INTERRUPTED for walk in walks)


@pytest.mark.parametrize("name", ["py311_plain", "py311_tls", "py313_plain"])
def test_the_fast_walk_is_the_full_walk(name: str) -> None:
    stack = sample(name, "trixie" if "313" in name else "bookworm")
    fast, space = FastWalker(stack.space(), X86_64), stack.space()
    assert fast.walk(stack.registers, stack.stack) == full_walk(space, X86_64, stack.registers, stack.stack)
    chance = random.Random(3)
    same = 0
    for _ in range(2000):
        damaged = bytearray(stack.stack)
        for _ in range(chance.randrange(3)):
            at = 8 * chance.randrange(len(damaged) // 8)
            damaged[at : at + 8] = damaged[8 * chance.randrange(len(damaged) // 8) :][:8].ljust(8, b"\0")
        cut = bytes(damaged[: chance.choice((len(damaged), chance.randrange(len(damaged))))])
        walk = fast.walk(stack.registers, cut)
        if walk:
            same += 1
            assert walk == full_walk(space, X86_64, stack.registers, cut)
    assert same > 200


def test_a_cut_stack_keeps_what_was_found_and_says_why() -> None:
    stack = sample("py311_plain", "bookworm")
    unwinder = Unwinder(stack.space(), X86_64)
    whole = unwinder.unwind(stack.registers, stack.stack)
    complete = 0
    for size in range(0, len(stack.stack), 8):
        walk = unwinder.unwind(stack.registers, stack.stack[:size])
        assert walk.addresses == whole.addresses[: len(walk.addresses)]
        complete += walk.complete
        if complete:
            assert walk == whole
        else:
            assert walk.end == End.STACK_ENDED and "was not copied" in walk.detail
    assert 0 < complete < len(stack.stack) // 16


def test_a_pc_outside_all_code_is_kept_as_a_frame_and_ends_the_walk() -> None:
    walk = Unwinder(AddressSpace([]), X86_64).unwind(X86_64.numbered(rip=0x1234, rsp=0x7000, rbp=0), bytes(64))
    assert (walk.addresses, walk.end, walk.detail) == ((0x1234,), End.NOT_CODE, "0x1234")


def test_the_frame_limit_ends_a_walk() -> None:
    frames = b"".join(struct.pack("<QQ", 0x8010 + 16 * i, 0x1010) for i in range(MAX_FRAMES + 10))
    walk = Unwinder(AddressSpace([CodeRange(0x1000, 0x2000, 0, None)]), X86_64).unwind(
        X86_64.numbered(rip=0x1000, rsp=0x8000, rbp=0x8000), frames
    )
    assert (len(walk.addresses), walk.end) == (MAX_FRAMES, End.TOO_MANY_FRAMES)


def test_the_outermost_frame_by_a_frame_pointer_of_zero() -> None:
    space = AddressSpace([CodeRange(0x1000, 0x2000, 0, None)])
    walk = Unwinder(space, X86_64).unwind(
        X86_64.numbered(rip=0x1000, rsp=0x8000, rbp=0x8010), struct.pack("<QQQQ", 5, 5, 0, 0x1800)
    )
    assert (walk.addresses, walk.end, walk.complete) == ((0x1000, 0x1800), End.NO_FRAME_POINTER, True)
    assert walk.found == (Found.REGISTERS, Found.FRAME_POINTER)


@given(st.binary(max_size=800), st.lists(st.integers(0, (1 << 64) - 1), min_size=8, max_size=8), st.integers(0, 4000))
def test_any_registers_and_bytes_end_in_a_walk_with_a_reason(stack: bytes, values: list[int], at: int) -> None:
    recorded = sample("py311_plain", "bookworm")
    code = 0x41F000 + at * 700
    odd = X86_64.numbered(rip=code, **dict(zip(("rsp", "rbp", "rbx", "r12", "r13", "r14", "r15"), values[1:])))
    walk = Unwinder(_space(recorded), X86_64).unwind(odd, stack)
    assert walk.addresses[0] == code
    assert len(walk.addresses) == len(walk.found)
    assert walk.end in End


@cache
def _space(stack: RecordedStack) -> AddressSpace:
    return stack.space()
