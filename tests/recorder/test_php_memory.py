"""Check that a function of PHP is read from memory with its own names only. The memory is made up."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprec.languages.known_codes import ReplacedError
from httprec.languages.php_code import Function, read_function, text_hash
from support.made_memory import MadeMemory

FUNCTION, NAME, SCOPE, CLASS_NAME, FILE = 0x1000, 0x2000, 0x3000, 0x4000, 0x5000
PLACE_OF_FILE = 152
USER, INTERNAL = 2, 1
FACTOR = 0x9E3779B97F4A7C15


def string(text: bytes) -> bytes:
    """Return a zend_string."""
    return struct.pack("<IIQQ", 1, 0x16, 0, len(text)) + text + b"\0"


def function(name: bytes, class_name: bytes = b"", file: bytes = b"/srv/a.php", kind: int = USER) -> MadeMemory:
    """Return the memory of a function in the lines 3 to 5 of a file."""
    head = struct.pack("<QQQ", kind, NAME if name else 0, SCOPE if class_name else 0)
    return MadeMemory(
        {
            FUNCTION: head.ljust(PLACE_OF_FILE, b"\0") + struct.pack("<QII", FILE, 3, 5),
            NAME: string(name),
            SCOPE: struct.pack("<QQ", 0, CLASS_NAME),
            CLASS_NAME: string(class_name),
            FILE: string(file),
        }
    )


def cookie(*words: int) -> int:
    """Return what the kernel makes of hashes and lines, by its own rule."""
    found = 0
    for word in words:
        found = (found ^ word) * FACTOR % (1 << 64)
        found ^= found >> 32
    return found | 1


LINES = 5 << 32 | 3
METHOD = cookie(text_hash(b"pay"), text_hash(b"Shop"), text_hash(b"/srv/a.php"), LINES)


def test_a_function_has_the_names_that_its_cookie_was_made_of() -> None:
    found = read_function(function(b"pay", b"Shop"), PLACE_OF_FILE, FUNCTION, METHOD)
    assert (found, found.title) == (Function(b"pay", b"Shop", b"/srv/a.php", 3), b"Shop::pay")


@pytest.mark.parametrize(
    "other",
    [
        function(b"put", b"Shop"),
        function(b"pay", b"Chop"),
        function(b"pay"),
        function(b"pay", b"Shop", b"/srv/b.php"),
        function(b"pay", b"Shop", kind=INTERNAL),
        function(b"pay" * 100, b"Shop"),
    ],
    ids=["name", "class", "no class", "file", "kind", "long name"],
)
def test_a_function_that_has_taken_the_place_of_another_has_no_name(other: MadeMemory) -> None:
    with pytest.raises(ReplacedError):
        read_function(other, PLACE_OF_FILE, FUNCTION, METHOD)


def test_a_class_without_a_name_is_called_as_php_calls_it() -> None:
    assert Function(b"run", b"class@anonymous\0/srv/a.php:3$0", b"/srv/a.php", 3).title == b"class@anonymous::run"


@given(st.binary(max_size=255), st.binary(max_size=255))
def test_different_texts_have_different_hashes(one: bytes, other: bytes) -> None:
    assert (text_hash(one) == text_hash(other)) == (one == other)


@given(st.dictionaries(st.sampled_from([FUNCTION, NAME, SCOPE, CLASS_NAME, FILE]), st.binary(max_size=300)))
def test_whatever_is_in_memory_gives_no_wrong_function(memory: dict[int, bytes]) -> None:
    with pytest.raises((ReplacedError, OSError)):
        read_function(MadeMemory(memory), PLACE_OF_FILE, FUNCTION, METHOD)
