"""Describe x86-64: System V psABI 1.0, figure 3.36 (DWARF register numbers) and 3.2.2 (the stack frame).

struct pt_regs: arch/x86/include/asm/ptrace.h of the kernel; the order is the same since 2.6.

Python's trampolines: Python/asm_trampoline.S of CPython 3.12 to 3.14. The code is `sub $8,%rsp; call *%rcx; add
$8,%rsp; ret`, later `push %rbp; mov %rsp,%rbp; call *%rcx; pop %rbp; ret`, after an `endbr64` if CET is on.
"""

from __future__ import annotations

from ..cfa import Cfa, RegisterRule, Row, Rule
from .architecture import WORD, Architecture, Trampoline

_REGISTERS = (
    *("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip"),
)
_PT_REGS = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss"),
)
_RSP, _RIP, _RBP = _REGISTERS.index("rsp"), _REGISTERS.index("rip"), _REGISTERS.index("rbp")

# With the CFA on the stack: the rbp that was pushed at CFA - 16, if rbp points there; else it is still the caller's.
# DWARF 5, 7.7.1: lit16 minus dup breg6(0) eq bra(+6) drop breg6(0) skip(+1) deref.
_CALLERS_RBP = bytes.fromhex("40 1c 12 7600 29 280600 13 7600 2f0100 06")
_PYTHON_TRAMPOLINE = Row(
    Cfa(_RSP, 2 * WORD),
    ((_RIP, RegisterRule(Rule.OFFSET, -WORD)), (_RBP, RegisterRule(Rule.VALUE_EXPRESSION, 0, _CALLERS_RBP))),
    return_address=_RIP,
    signal=False,
    outermost=False,
)

X86_64 = Architecture(
    name="x86_64",
    elf_machine=62,  # EM_X86_64
    registers=_REGISTERS,
    stack_pointer=_RSP,
    frame_pointer=_RBP,
    instruction_pointer=_RIP,
    entry=Row(  # a call pushes the return address
        Cfa(_RSP, WORD), ((_RIP, RegisterRule(Rule.OFFSET, -WORD)),), return_address=_RIP, signal=False, outermost=False
    ),
    recorded=_PT_REGS,
    python_trampoline=Trampoline(_PYTHON_TRAMPOLINE, calls=(5, 9)),
    end_of_32_bit=1 << 32,
)
