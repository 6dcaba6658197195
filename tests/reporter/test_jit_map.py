"""Check that a perf-PID.map names the code that it covers, and that the later of two lines for one address counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from httpreport.languages.jit_map import MAX_LINES, JitMap, NamedCode
from httpreport.languages.stack_trace import Unnamed

FUNCTIONS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=12)


def test_a_function_is_found_from_its_first_to_its_last_byte() -> None:
    names = JitMap(b"7f0010 20 LazyCompile:~get /app/a b.js:1\n0x7f0030 0x8 py::main\n")

    assert names.find(0x7F0010) == (b"LazyCompile:~get /app/a b.js:1", 0)
    assert names.find(0x7F002F) == (b"LazyCompile:~get /app/a b.js:1", 31)
    assert names.find(0x7F0030) == (b"py::main", 0)
    assert names.find(0x7F000F) is names.find(0x7F0038) is None


@given(FUNCTIONS)
def test_the_last_line_that_covers_an_address_names_it(functions: list[tuple[int, int]]) -> None:
    text = b"".join(b"%x %x f%d\n" % (start, size, number) for number, (start, size) in enumerate(functions))
    names = JitMap(text)

    for address in range(60):
        covering = [
            (b"f%d" % number, address - start)
            for number, (start, size) in enumerate(functions)
            if start <= address < start + size
        ]
        assert names.find(address) == (covering[-1] if covering else None)


def test_a_line_that_was_cut_off_names_nothing() -> None:
    names = JitMap(b"1000 10 whole\n2000 10 half of a na", "its end is missing")

    assert names.unnamed is Unnamed.JIT_MAP_CUT_OFF
    assert names.find(0x1000) == (b"whole", 0)
    assert names.find(0x2000) is None
    without_end = JitMap(b"1000 10 whole\n2000 10 it may go on")
    assert without_end.unnamed is Unnamed.JIT_MAP_CUT_OFF and without_end.find(0x2000) is None


def test_lines_beyond_the_limit_are_cut_off() -> None:
    lines = b"1000 10 same\n" * MAX_LINES

    assert JitMap(lines).unnamed is Unnamed.NOT_IN_JIT_MAP
    assert JitMap(lines + b"2000 10 beyond").unnamed is Unnamed.JIT_MAP_CUT_OFF


@given(st.binary(max_size=300))
def test_lines_that_are_none_are_left_out(text: bytes) -> None:
    names = JitMap(
        text + b"\n1000 10 good\n1000\nx y z\n1000 10\n2000 ffffffffffffffff far\n11112222333344445 1 wide\n"
    )

    assert names.find(0x1008) == (b"good", 8)
    assert names.find(0xFFFF_FFFF_FFFF) == (b"far", 0xFFFF_FFFF_FFFF - 0x2000)


def test_code_that_replaced_other_code_after_a_stack_does_not_name_it() -> None:
    """The first three lines had been read when the stack was taken; the code of `now` may have been made later."""
    before = b"1000 10 then\n2000 10 same\n3000 10 first\n"
    names = JitMap(before + b"1008 10 now\n4000 10 new\n")

    assert names.find(0x1008) == (b"now", 0)
    replaced = [address for address in range(0x1000, 0x4010) if names.was_replaced(address, len(before))]
    assert replaced == list(range(0x1008, 0x1010))
    assert not any(names.was_replaced(address, len(before) + 12) for address in range(0x1000, 0x4010))
    assert all(
        isinstance(NamedCode(names, len(before)).frames(at, at), list) for at in (0x1000, 0x1010, 0x2000, 0x4000)
    )
    assert NamedCode(names, len(before)).frames(0x1009, 0x1008) is Unnamed.JIT_CODE_REPLACED


@given(FUNCTIONS, st.integers(0, 12))
def test_code_was_replaced_where_a_later_line_covers_an_earlier_one(
    functions: list[tuple[int, int]], known: int
) -> None:
    lines = [b"%x %x f%d\n" % (start, size, number) for number, (start, size) in enumerate(functions)]
    names, known_bytes = JitMap(b"".join(lines)), sum(map(len, lines[:known]))

    for address in range(60):
        covering = [number for number, (start, size) in enumerate(functions) if start <= address < start + size]
        assert names.was_replaced(address, known_bytes) == (len(covering) > 1 and covering[-1] >= known)
