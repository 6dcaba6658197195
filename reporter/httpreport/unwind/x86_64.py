"""x86-64: System V psABI 1.0, figure 3.36 (DWARF register numbers) and 3.2.2 (the stack frame)."""

from __future__ import annotations

from .architecture import Architecture, Registers

REGISTER_NAMES = (
    *("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip"),
)

X86_64 = Architecture(
    name="x86_64",
    register_count=len(REGISTER_NAMES),
    stack_pointer=REGISTER_NAMES.index("rsp"),
    frame_pointer=REGISTER_NAMES.index("rbp"),
    instruction_pointer=REGISTER_NAMES.index("rip"),
)


def registers(rip: int, rsp: int, rbp: int, **others: int) -> Registers:
    """The registers by DWARF number: rip, rsp, rbp, and any others by name (rbx, r12 to r15 help on rare
    frames)."""
    values = {"rip": rip, "rsp": rsp, "rbp": rbp, **others}
    return tuple(map(values.get, REGISTER_NAMES))
