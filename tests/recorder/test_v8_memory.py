"""Check what is read of V8's objects, with a heap that is made up, and that nothing else in memory does harm."""

from __future__ import annotations

import contextlib
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprec.languages.v8_functions import Frame, Function, Scripts, line_ends, proven
from httprec.languages.v8_heap import Heap, MovedError, Text
from httprec.languages.v8_layouts import PREFIX, UnknownLayoutError, layout_of
from httprec.languages.v8_scripts import KnownFunctions
from httprec.languages.v8_stack import frames_in
from support.v8_heap import (
    BASE,
    CODE,
    CONS,
    CONSTANTS,
    EXTERNAL,
    FIXED,
    LAYOUT,
    SLICED,
    THIN,
    MadeHeap,
    smi,
)

WIDTHS = {1: "latin-1", 2: "utf-16-le"}
TEXT = st.text(st.characters(codec="utf-16-le"), max_size=12)


def decoded(text: Text) -> str:
    return text.characters.decode(WIDTHS[text.width])


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def read(made: MadeHeap, pointer: int, limit: int = 1 << 14) -> str:
    return decoded(Heap(made, LAYOUT).text(pointer, limit))  # type: ignore[arg-type]  # it reads alike


@given(TEXT, TEXT)
def test_strings_of_all_kinds_have_their_text(first: str, second: str) -> None:
    made = MadeHeap()
    both = made.make(CONS, smi(units(first) + units(second)), made.text(first), made.text(second))
    thin = made.make(THIN, smi(units(first + second)), both)
    assert read(made, both) == read(made, thin) == first + second


@given(st.text(st.characters(max_codepoint=0xFFFF, codec="utf-16-le"), min_size=1, max_size=12), st.data())
def test_a_part_of_a_string(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    made = MadeHeap()
    sliced = made.make(SLICED, smi(len(text) - start), made.text(text), smi(start))
    assert read(made, sliced) == text[start:]


def test_a_string_outside_of_the_heap() -> None:
    made = MadeHeap()
    external = made.make(EXTERNAL | 8, smi(4), 0, made.put(b"node"))
    assert read(made, external) == "node"


def test_a_long_string_is_cut_off() -> None:
    made = MadeHeap()
    assert read(made, made.text("a" * 100), 10) == "a" * 10
    assert read(made, made.text("\u4f8b" * 100), 10) == "\u4f8b" * 5


def test_a_string_that_holds_itself_ends() -> None:
    made = MadeHeap()
    cons = made.make(CONS, smi(8), 0, 0)
    made.set(cons, 2, cons)
    made.set(cons, 3, cons)
    read(made, cons)


@given(st.text(st.sampled_from("ab\r\n\u2028\u2029\U0001f600\u4f8b"), max_size=30))
def test_lines_end_as_in_javascript(text: str) -> None:
    """ECMAScript, "Line Terminators": LF, CR, LS, PS; CR and LF together are one."""
    one_byte = all(ord(character) < 256 for character in text)
    made = Text(text.encode("latin-1"), 1) if one_byte else Text(text.encode("utf-16-le"), 2)
    expected, place = [], 0
    for number, character in enumerate(text):
        is_first_of_two = character == "\r" and text[number + 1 : number + 2] == "\n"
        if character in "\r\n\u2028\u2029" and not is_first_of_two:
            expected.append(place)
        place += units(character)
    assert list(line_ends(made)) == expected


def frame(made: MadeHeap, function: int, **how: int) -> Frame:
    """Return a frame that runs the bytecode that a function has now."""
    shared = made.u64(function - 1 + 24)
    bytecode = how.get("bytecode", made.u64(shared - 1 + 8))
    return Frame(0x7000, function, bytecode, smi(60), (how.get("returns", 0x9999),))


def found(made: MadeHeap, one: Frame) -> Function:
    return proven(Heap(made, LAYOUT), one).function  # type: ignore[arg-type]  # it reads alike


def test_a_function_has_its_name_and_file() -> None:
    made = MadeHeap()
    function = found(made, frame(made, made.function("checkout", "/srv/app/views.js", script_id=81)))
    assert (decoded(function.name), decoded(function.filename)) == ("checkout", "/srv/app/views.js")
    assert (function.script_id, function.start, function.end) == (81, 5, 9)


def test_a_function_proves_nothing_if_the_frame_runs_other_bytecode() -> None:
    made = MadeHeap()
    other = frame(made, made.function("other", "/o.js"))
    with pytest.raises(MovedError):
        found(made, frame(made, made.function("own", "/o.js"), bytecode=other.bytecode))


@pytest.mark.parametrize(("returns", "is_proven"), [(0x5000, False), (0x5001, True), (0x5100, True), (0x5101, False)])
def test_machine_code_proves_a_function_if_the_frame_returns_into_it(returns: int, is_proven: bool) -> None:
    made = MadeHeap()
    function = made.function("hot", "/h.js")
    made.set(function, 6, made.make(CODE, 0, 0, 0, 0, 0x5000, 0, 0x100))
    one = frame(made, function, bytecode=0, returns=returns)
    if is_proven:
        assert decoded(found(made, one).name) == "hot"
    else:
        with pytest.raises(MovedError):
            found(made, one)


def test_functions_differ_in_their_cookies_if_they_differ_in_anything_that_is_shown() -> None:
    made = MadeHeap()
    each = [("f", "/a.js", 1), ("g", "/a.js", 1), ("f", "/b.js", 1), ("f", "/a.js", 2)]
    functions = [
        found(made, frame(made, made.function(name, file, script_id=number)))._replace(shared=0, script=0)
        for name, file, number in each
    ]
    assert len({function.cookie for function in functions}) == len(each)


def test_a_closure_that_moved_is_found_by_its_bytecode() -> None:
    made = MadeHeap()
    first, second = made.function("first", "/a.js"), made.function("second", "/a.js")
    one = frame(made, first)
    script = found(made, one).script
    shared = made.u64(second - 1 + 24)
    made.set(script, 11, made.make(FIXED, smi(3), 3, shared + 2, shared + 2))  # weak pointers; one is cleared
    known = KnownFunctions()
    heap = Heap(made, LAYOUT)  # type: ignore[arg-type]  # it reads alike
    known.add("process", found(made, one))
    wanted = frame(made, second).bytecode
    assert known.of(heap, "process", wanted) == shared
    assert known.of(heap, "other", wanted) is None


def test_what_lines_need_is_counted_from_the_function() -> None:
    made = MadeHeap()
    function = found(made, frame(made, made.function("f", "/f.js", source="a\nb\nc\nd\ne\nf")))
    lines = Scripts().lines(Heap(made, LAYOUT), "process", function)  # type: ignore[arg-type]  # it reads alike
    assert (lines.first, struct.unpack(f"<{len(lines.ends) // 4}I", lines.ends)) == (3, (0, 2))  # from 5 to 9


@given(st.binary(max_size=2048), st.integers(0, 1 << 16))
def test_any_memory_gives_frames_or_none(data: bytes, seed: int) -> None:
    """The words that look like pointers lead into the memory itself, where there may be anything."""
    random_ = random.Random(seed)
    words = [
        random_.choice((BASE + random_.randrange(512) * 8 + 1, smi(random_.randrange(64)), random_.getrandbits(64)))
        for _ in range(512)
    ]
    made = MadeHeap()
    made.put(data + struct.pack("<512Q", *words))
    for _ in range(16):
        made.put(struct.pack("<HHH", *random_.sample([2066, 262, 191, 245, 261, 167, 190, 0x28, 0x21, 0x25], 3)))
    heap = Heap(made, LAYOUT)  # type: ignore[arg-type]  # it reads alike
    for one in frames_in(bytes(made.data), BASE, LAYOUT):
        with contextlib.suppress(MovedError, OSError):
            Scripts().lines(heap, "process", proven(heap, one).function)


def test_frames_are_found_by_the_words_that_point_to_them() -> None:
    address = 0x7000
    words = [0] * 40
    words[2], words[3] = address + 8 * 12, 0x1234  # a callee keeps the frame pointer, and returns
    words[12 - 1], words[12 - 2], words[12 - 4], words[12 - 5] = 0x10_0001, 0x10_0011, 0x10_0021, smi(70)
    words[20], words[21] = address + 8 * 30, 0x5678
    words[30 - 1] = smi(12)  # the type of a frame of V8's own, in place of a context
    (found_,) = frames_in(struct.pack("<40Q", *words), address, LAYOUT)
    assert found_ == Frame(address + 8 * 12, 0x10_0011, 0x10_0021, smi(70), (0x1234,))


@pytest.mark.parametrize("version", [(9, 4), (13, 7), (0, 0)])
def test_a_version_that_is_not_known_is_refused(version: tuple[int, int]) -> None:
    with pytest.raises(UnknownLayoutError, match="is not known"):
        layout_of(version, {PREFIX + name: value for name, value in CONSTANTS.items()})


@pytest.mark.parametrize("name", CONSTANTS)
@pytest.mark.parametrize("value", [None, 1 << 20, -100])
def test_a_binary_that_does_not_tell_is_refused(name: str, value: int | None) -> None:
    told = {**CONSTANTS, name: value}
    with pytest.raises(UnknownLayoutError, match="its binary"):
        layout_of((11, 3), {PREFIX + name: value for name, value in told.items() if value is not None})
