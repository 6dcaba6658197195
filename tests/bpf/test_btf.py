"""Check that type information is read as bpftool reads it, and that damaged input raises nothing but BtfError."""

from __future__ import annotations

import contextlib
import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from httpbpf.btf import VMLINUX, Btf, BtfError, first_offset, load_btf
from httpbpf.program import Sizes, build_program
from support.type_information import btf_of, dump

Types = list[dict[str, Any]]

SOURCE = """
struct plain { int first; char second; long third; };
struct nested {
    unsigned head : 3, tail : 7;
    union { long wide; struct { short low, high; }; };
    struct { int inner; } named;
    struct { struct { union { int deepest; char bytes[8]; }; }; };
};
union either { int number; char text[24]; };
enum colour { RED, GREEN = 7, BLUE };
struct plain a; struct nested b; union either c; enum colour d;
int combine(struct plain *left, struct nested *right, int flags) { return left->first + right->named.inner + flags; }
int say(const char *format, ...) { return format[0]; }
"""
NAMELESS = "(anon)"  # what bpftool prints where BTF has the empty name


def members_of(types: Types, number: int) -> Iterator[tuple[str, int]]:
    for member in types[number].get("members", ()):
        if member["name"] != NAMELESS:
            yield member["name"], member["bits_offset"] // 8
        elif types[member["type_id"]]["kind"] in ("STRUCT", "UNION"):
            for name, offset in members_of(types, member["type_id"]):
                yield name, member["bits_offset"] // 8 + offset


def named(types: Types, name: str, *kinds: str) -> dict[str, Any]:
    """Return the first type of this name, or one without parts if there is none."""
    return next((each for each in types if each["name"] == name and each["kind"] in kinds), {"id": 0})


def parameters_of(types: Types, function: dict[str, Any]) -> list[str]:
    names = [parameter["name"] for parameter in types[function["type_id"]]["params"]]
    return ["" if name == NAMELESS else name for name in names]


class Asking(Btf):
    """Record what is asked, and by which method."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.asked: set[tuple[str, str]] = set()

    def members(self, struct_name: str) -> dict[str, int]:
        self.asked.add(("members", struct_name))
        return super().members(struct_name)

    def enumerators(self, enum_name: str) -> dict[str, int]:
        self.asked.add(("enumerators", enum_name))
        return super().enumerators(enum_name)

    def parameters(self, function: str) -> list[str]:
        self.asked.add(("parameters", function))
        return super().parameters(function)

    def has_function(self, function: str) -> bool:
        self.asked.add(("has_function", function))
        return super().has_function(function)


@pytest.fixture(scope="module")
def kernel_types() -> Types:
    return dump(VMLINUX)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return btf_of(tmp_path_factory.mktemp("btf"), SOURCE)


def test_everything_that_the_program_asks_of_this_kernel_is_as_bpftool_says(kernel_types: Types) -> None:
    btf = Asking(Path(VMLINUX).read_bytes())
    build_program(btf, Sizes(), threshold_ns=0, filter_processes=True, probes="fexit")
    methods = {method for method, _ in btf.asked}
    assert methods == {"members", "enumerators", "parameters", "has_function"}
    for method, name in btf.asked:
        function = named(kernel_types, name, "FUNC")
        if method == "members":
            number = named(kernel_types, name, "STRUCT", "UNION")["id"]
            assert btf.members(name) == dict(members_of(kernel_types, number)), name
        elif method == "enumerators":
            values = named(kernel_types, name, "ENUM")["values"]
            assert btf.enumerators(name) == {value["name"]: value["val"] for value in values}, name
        elif method == "parameters":
            assert btf.parameters(name) == parameters_of(kernel_types, function), name
        else:
            assert btf.has_function(name) == bool(function["id"]), name


def test_types_from_all_over_the_kernel_are_as_bpftool_says(kernel_types: Types) -> None:
    btf = load_btf()
    structs = [each for each in kernel_types if each["kind"] == "STRUCT" and each["name"] != NAMELESS]
    functions = [each for each in kernel_types if each["kind"] == "FUNC"]
    assert len(structs) > 1000 and len(functions) > 1000
    for each in itertools.islice(structs, 0, None, len(structs) // 60):
        first = named(kernel_types, each["name"], "STRUCT", "UNION")["id"]
        assert btf.members(each["name"]) == dict(members_of(kernel_types, first)), each["name"]
    for each in itertools.islice(functions, 0, None, len(functions) // 60):
        first_function = named(kernel_types, each["name"], "FUNC")
        assert btf.parameters(each["name"]) == parameters_of(kernel_types, first_function), each["name"]


def test_each_function_of_this_kernel_with_a_nameless_parameter_is_as_bpftool_says(kernel_types: Types) -> None:
    """Check all of them, because a sample would contain one on some kernels only. They are the variadic functions."""
    btf = load_btf()
    functions = [each for each in kernel_types if each["kind"] == "FUNC"]
    nameless = {each["name"] for each in functions if "" in parameters_of(kernel_types, each)}
    assert nameless
    for name in nameless:
        assert btf.parameters(name) == parameters_of(kernel_types, named(kernel_types, name, "FUNC")), name


def test_members_of_anonymous_parts_count_as_in_c(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "small.btf"
    path.write_bytes(small)
    types, btf = dump(path), Btf(small)
    assert btf.members("nested") == {
        "head": 0,
        "tail": 0,
        "wide": 8,
        "low": 8,
        "high": 10,
        "named": 16,
        "deepest": 20,
        "bytes": 20,
    }
    for name in ("plain", "nested", "either"):
        assert btf.members(name) == dict(members_of(types, named(types, name, "STRUCT", "UNION")["id"]))
    assert btf.enumerators("colour") == {"RED": 0, "GREEN": 7, "BLUE": 8}
    assert btf.parameters("combine") == ["left", "right", "flags"]


def test_the_dots_of_a_variadic_function_are_a_parameter_without_a_name(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "small.btf"
    path.write_bytes(small)
    types = dump(path)
    assert Btf(small).parameters("say") == ["format", ""] == parameters_of(types, named(types, "say", "FUNC"))


def test_what_a_kernel_does_not_have_is_empty_or_an_error_that_names_it(small: bytes) -> None:
    btf = Btf(small)
    assert btf.members("no_such_struct") == {}
    assert btf.enumerators("no_such_enum") == {}
    assert not btf.has_function("plain")  # a struct
    assert btf.members("combine") == {}  # a function
    with pytest.raises(BtfError, match="no function tcp_recvmsg"):
        btf.parameters("tcp_recvmsg")
    with pytest.raises(BtfError, match="no member iov or __iov"):
        first_offset(btf.members("plain"), ["iov", "__iov"])
    assert first_offset(btf.members("plain"), ["iov", "third", "first"]) == 8


def test_part_of_a_name_is_not_the_name(small: bytes) -> None:
    assert Btf(small).members("lain") == {}
    assert Btf(small).members("plai") == {}


def test_a_kernel_without_type_information_is_told_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(BtfError, match=r"cannot read .*: No such file or directory; .*CONFIG_DEBUG_INFO_BTF"):
        load_btf(str(tmp_path / "vmlinux"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:23],
        lambda data: data[1::-1] + data[2:],  # big-endian
        lambda data: data[:2] + b"\2" + data[3:],
        lambda data: b"\x7fELF" + data[4:],
    ],
    ids=["empty", "short", "big-endian", "version 2", "another format"],
)
def test_what_is_not_btf_is_refused(small: bytes, damage: Any) -> None:
    with pytest.raises(BtfError, match="not little-endian BTF"):
        Btf(damage(small))


def read_all(data: bytes) -> None:
    """Ask for everything that the source declares, and accept no exception but BtfError."""
    with contextlib.suppress(BtfError):
        btf = Btf(data)
        for question in (
            lambda: btf.members("plain"),
            lambda: btf.members("nested"),
            lambda: btf.members("either"),
            lambda: btf.enumerators("colour"),
            lambda: btf.parameters("combine"),
            lambda: btf.parameters("say"),
            lambda: btf.has_function("combine"),
        ):
            with contextlib.suppress(BtfError):
                question()


def test_only_btf_errors_come_of_a_truncated_file(small: bytes) -> None:
    for length in range(len(small)):
        read_all(small[:length])


@settings(max_examples=600)
@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4))
def test_only_btf_errors_come_of_changed_bytes(small: bytes, changes: list[tuple[int, int]]) -> None:
    data = bytearray(small)
    for position, value in changes:
        data[position % len(data)] = value
    read_all(bytes(data))


@settings(max_examples=600)
@given(st.integers(0, 1 << 16), st.sampled_from([0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF]))
@example(1, 0xFFFFFFFF)
def test_only_btf_errors_come_of_absurd_numbers(small: bytes, word: int, value: int) -> None:
    data = bytearray(small)
    struct.pack_into("<I", data, word % (len(data) // 4) * 4, value)
    read_all(bytes(data))


def test_a_struct_that_contains_itself_ends(small: bytes) -> None:
    strings = b"\0loop\0"
    # struct loop { <anonymous member of type 1, which is struct loop> };
    types = struct.pack("<III", 1, 4 << 24 | 1, 8) + struct.pack("<III", 0, 1, 0)
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    with pytest.raises(BtfError):
        Btf(header + types + strings).members("loop")
