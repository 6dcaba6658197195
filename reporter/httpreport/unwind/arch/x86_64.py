"""Describe x86-64: System V psABI 1.0, figure 3.36 (DWARF register numbers) and 3.2.2 (the stack frame).

struct pt_regs: arch/x86/include/asm/ptrace.h of the kernel; the order is the same since 2.6.
"""

from __future__ import annotations

from ..cfa import Cfa, RegisterRule, Row, Rule
from .architecture import WORD, Architecture

_REGISTERS = (
    *("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip"),
)
_PT_REGS = (
    *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
    *("orig_rax", "rip", "cs", "eflags", "rsp", "ss"),
)
_RSP, _RIP = _REGISTERS.index("rsp"), _REGISTERS.index("rip")

X86_64 = Architecture(
    name="x86_64",
    elf_machine=62,  # EM_X86_64
    registers=_REGISTERS,
    stack_pointer=_RSP,
    frame_pointer=_REGISTERS.index("rbp"),
    instruction_pointer=_RIP,
    entry=Row(  # a call pushes the return address
        Cfa(_RSP, WORD), ((_RIP, RegisterRule(Rule.OFFSET, -WORD)),), return_address=_RIP, signal=False, outermost=False
    ),
    recorded=_PT_REGS,
    end_of_32_bit=1 << 32,
)
