"""Programs are put together for the verifier; the oracle is a small interpreter of what they are made of."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from httprec.bpf_programs import chain, with_map

INSTRUCTION = struct.Struct("<BBhi")
EXIT, GO, GO_IF_NOT, LOAD, STORE, MOVE, LOAD_CONSTANT = 0x95, 0x05, 0x55, 0x79, 0x7B, 0xB7, 0x18
CONTEXT = "the context"


def program(seen: int, result: int, *, early: bool) -> bytes:
    """Return a program that marks that it ran, and returns a result, at its end or before it."""
    mark = INSTRUCTION.pack(MOVE, seen, 0, 1)
    returns = INSTRUCTION.pack(MOVE, 0, 0, result) + INSTRUCTION.pack(EXIT, 0, 0, 0)
    return mark + returns * (2 if early else 1)


def run(code: bytes) -> tuple[list[object], object]:
    """Return the registers r0 to r9 and what r1 was whenever one of the programs began."""
    registers: list[object] = [0, CONTEXT, *[0] * 8]
    stack: dict[int, object] = {}
    instructions = list(INSTRUCTION.iter_unpack(code))
    at = 0
    while True:
        operation, operands, offset, constant = instructions[at]
        to, source = operands & 15, operands >> 4
        at += 1
        if operation == EXIT:
            return registers, registers[1]
        if operation == GO or (operation == GO_IF_NOT and registers[to] != constant):
            at += offset
        elif operation == LOAD:
            assert source == 10
            registers[to] = stack[offset]
        elif operation == STORE:
            assert to == 10
            stack[offset] = registers[source]
        elif operation == MOVE:
            registers[to] = constant


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=8))
def test_programs_run_one_after_the_other_until_one_returns_0(results: list[tuple[int, bool]]) -> None:
    marks = range(2, 2 + len(results))  # the registers that say which of them ran
    code = chain([program(mark, result, early=early) for mark, (result, early) in zip(marks, results)])
    registers, context = run(code)
    last = next((index for index, (result, _) in enumerate(results) if not result), len(results) - 1)
    assert [registers[mark] for mark in marks] == [1] * (last + 1) + [0] * (len(results) - last - 1)
    assert registers[0] == 0
    assert context == CONTEXT


@given(st.integers(3, 200), st.integers(3, 200))
def test_only_the_one_map_is_replaced(old: int, new: int) -> None:
    uses, expected = (INSTRUCTION.pack(LOAD_CONSTANT, 1 << 4 | 2, 0, fd) + bytes(8) for fd in (old, new))
    others = INSTRUCTION.pack(LOAD_CONSTANT, 2, 0, old) + INSTRUCTION.pack(MOVE, 1 << 4 | 2, 0, old)
    assert with_map(uses + others, old, new) == expected + others


def test_another_map_stays() -> None:
    uses = INSTRUCTION.pack(LOAD_CONSTANT, 1 << 4 | 2, 0, 7) + bytes(8)
    assert with_map(uses, 8, 9) == uses
