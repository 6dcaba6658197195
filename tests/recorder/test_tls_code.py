"""Find where to probe in libraries that the assembler makes, and compare with its labels; and in the machine's own
OpenSSL, and compare with objdump."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httprec.tls import gnutls, openssl
from httprec.tls.places import COPY, READ, Places, Registers
from httprec.tls.probed_code import UnknownCodeError
from httprec.tls.x86_code import MAX_CODE, instructions
from support.tls_library import gnutls_library, library

REGISTERS = Registers(3, 12, 13)  # rbx, r12 and r13
OPENSSL = Path("/usr/lib/x86_64-linux-gnu/libssl.so.3")
GNUTLS = Path("/usr/lib/x86_64-linux-gnu/libgnutls.so.30")


def places_of(path: Path, find: Callable[[int], Places] = openssl.find_places) -> Places:
    fd = os.open(path, os.O_RDONLY)
    try:
        return find(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"endbr": "endbr64"},
        {"read_prefix": "read: endbr64", "write_prefix": "write: endbr64"},
        {"slots": "10", "method": "0x80", "more": ".globl SSL_new_stream\nSSL_new_stream: ret"},
    ],
)
def test_stripped_libraries_are_probed_at_the_labels(tmp_path: Path, changes: dict[str, str]) -> None:
    binary, labels = library(tmp_path, **changes)
    assert places_of(binary) == Places(labels["written"], labels["ended"], READ, REGISTERS)


def test_a_jump_at_the_beginning_is_followed(tmp_path: Path) -> None:
    jump = "read: mov %rcx, %r8\n xor %ecx, %ecx \n jmp inner\n ud2\ninner:"
    binary, labels = library(tmp_path, read_prefix=jump)
    assert places_of(binary) == Places(labels["written"], labels["ended"], READ, REGISTERS)


def test_a_branch_at_the_beginning_is_probed(tmp_path: Path) -> None:
    branch = "{0}: test %rdi, %rdi\nbranch{0}: je other"
    binary, labels = library(tmp_path, read_prefix=branch.format("read"), write_prefix=branch.format("write"))
    assert places_of(binary) == Places(labels["branchwrite"], labels["ended"], READ, REGISTERS)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"write_prefix": "write: sub $8, %rsp"}, "has code at the beginning of its functions that is not known"),
        ({"seventh": ""}, "has code in ssl3_read that is not known"),
        ({"end": "ended: cmovs %edx, %eax\n x"}, "has code in ssl3_read that is not known"),
        ({"read_prefix": "read: ud2"}, "has code in ssl3_read that is not known"),
        ({"before": "xor %ebx, %ebx"}, "has code in ssl3_read that is not known"),
        ({"received": "%r10"}, "has code in ssl3_read that is not known"),
        ({"behind": "mov $1, %r12d"}, "has code in ssl3_read that is not known"),
        ({"endbr": "nop"}, "has code in TLS_method that is not known"),
        ({"slots": "6"}, "has addresses outside of its code"),
    ],
)
def test_other_code_is_refused(tmp_path: Path, changes: dict[str, str], problem: str) -> None:
    binary, _ = library(tmp_path, **changes)
    with pytest.raises(UnknownCodeError, match=f"^{problem}$"):
        places_of(binary)


INLINED = ("mov %rbx, %rdi\n  call buffered", "mov %rbx, %rsi\n  mov $23, %edi\n  call copy")


@pytest.mark.parametrize(
    ("changes", "registers"),
    [
        ([], Registers(13, excess=0x120 // 8)),
        ([("written:", "endbr64\nwritten:")], Registers(13, excess=0x120 // 8)),
        ([("call buffered", "jmp buffered")], Registers(13, excess=0x120 // 8)),
        ([INLINED], Registers(13, excess=0x120 // 8)),
        ([("lea 0x120(%rsi), %r13", "mov %rsi, %r15")], Registers(15)),
    ],
)
def test_a_library_like_gnutls_is_probed_where_it_copies(
    tmp_path: Path, changes: list[tuple[str, str]], registers: Registers
) -> None:
    binary, labels = gnutls_library(tmp_path, *changes)
    assert places_of(binary, gnutls.find_places) == Places(labels["written"], labels["copied"], COPY, registers)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("written: push %r15", "sub $8, %rsp", "has code at the beginning of its functions that is not known"),
        ("jmp receive", "ret", "has code in gnutls_record_recv_seq that is not known"),
        ("mov %r14, %r8", "mov $1, %r8d", "has code that receives which is not known"),
        ("mov %r14, %rdi", "mov %r12, %rdi", "has code that receives which is not known"),
        ("mov %rdx, %r14", "mov %rdx, %r14\n  xor %r14d, %r14d", "has code that receives which is not known"),
        ("lea 0x120(%rsi), %r13", "lea 0x120(%rsi), %r11", "has code that receives which is not known"),
        ("lea 0x120", "lea 0x124", "has code that receives which is not known"),
        ("lea 0x120", "lea 0x1200", "has code that receives which is not known"),
        ("bswap %rax", "ud2", "has code that receives which is not known"),
        (".globl gnutls_record_send2,", ".globl ", "has no symbols of GnuTLS 3.6.3 or later"),
    ],
)
def test_other_code_than_that_of_gnutls_is_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    binary, _ = gnutls_library(tmp_path, (old, new))
    with pytest.raises(UnknownCodeError, match=f"^{problem}$"):
        places_of(binary, gnutls.find_places)


def test_a_library_of_another_kind_is_refused() -> None:
    with pytest.raises(UnknownCodeError, match=r"^has no symbols of OpenSSL 1\.1\.1 or later$"):
        places_of(Path("/proc/self/exe"))
    with pytest.raises(UnknownCodeError, match=r"^is no 64-bit ELF file of this processor$"):
        places_of(Path(__file__))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, Callable[[int], Places]]]:
    folders = [tmp_path_factory.mktemp("library") for _ in range(2)]
    return [
        (library(folders[0])[0].read_bytes(), openssl.find_places),
        (gnutls_library(folders[1])[0].read_bytes(), gnutls.find_places),
    ]


@given(
    kind=st.integers(0, 1),
    changes=st.lists(st.tuples(st.integers(0, 1 << 14), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_a_damaged_library_is_refused_or_probed_within_its_code(
    sound: list[tuple[bytes, Callable[[int], Places]]], kind: int, changes: list[tuple[int, int]]
) -> None:
    data, find = sound[kind]
    damaged = bytearray(data)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    fd = os.memfd_create("damaged")
    try:
        os.write(fd, damaged)
        try:
            found = find(fd)
        except UnknownCodeError:
            return
        assert all(0 <= offset < len(damaged) for offset in found[:2])
        bytes(found.registers)  # as the kernel is told
    finally:
        os.close(fd)


@given(code=st.binary(max_size=64))
def test_any_bytes_are_decoded_to_their_end_at_most(code: bytes) -> None:
    place = 0
    for step in instructions(code, 0):
        assert step.address == place
        assert code.startswith(step.code, place)
        assert step.code
        place = step.end
    assert place <= len(code)


has_openssl = pytest.mark.skipif(not OPENSSL.exists() or not shutil.which("objdump"), reason="no OpenSSL 3, or objdump")

Listing = dict[int, tuple[bytes, str]]


@pytest.fixture(scope="module")
def listing() -> Listing:
    """Return bytes and text of each instruction of the machine's OpenSSL, by its address."""
    return listing_of(OPENSSL)


def listing_of(path: Path) -> Listing:
    command = ["objdump", "-d", "-w", "--section=.text", str(path.resolve())]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^ *([0-9a-f]+):\t([0-9a-f ]+?) *\t(.*)$", printed, re.MULTILINE)
    return {int(address, 16): (bytes.fromhex(code), text) for address, code, text in found}


@has_openssl
def test_instructions_begin_where_objdump_has_them(listing: Listing) -> None:
    begun = decoded = 0
    for address, (_, text) in listing.items():
        if not text.startswith("push"):
            continue
        code = b"".join(listing.get(at, (b"", ""))[0] for at in range(address, address + MAX_CODE))
        begun += 1
        for step in instructions(code, address):
            if step.address not in listing:
                break  # objdump shows something between functions
            assert listing[step.address][0] == step.code
            decoded += 1
    assert begun > 1000
    assert decoded > 10 * begun


@has_openssl
def test_places_are_those_of_a_call_and_a_comparison(listing: Listing) -> None:
    write, end, _, registers = places_of(OPENSSL)  # its code is at its offsets
    assert listing[write][1].split()[0] in ("push", "je")
    assert listing[end][1].split()[0] in ("je", "jne")
    before = [text for address, (_, text) in sorted(listing.items()) if end - 32 <= address < end]
    assert before[-1] == "cmp    $0xffffffff,%eax"
    assert any(text.startswith("call   *0x") for text in before)
    names = {3: "rbx", 5: "rbp", 12: "r12", 13: "r13", 14: "r14", 15: "r15"}
    session, buffer, received = (names[number] for number in registers[:3])
    given = [text for address, (_, text) in sorted(listing.items()) if end - 64 <= address < end]
    assert {f"mov    %{session},%rdi", f"mov    %{buffer},%rcx", f"push   %{received}"} <= set(given)


@pytest.mark.skipif(not GNUTLS.exists() or not shutil.which("objdump"), reason="no GnuTLS, or objdump")
def test_places_are_those_of_a_push_and_a_copy() -> None:
    found, listing = places_of(GNUTLS, gnutls.find_places), listing_of(GNUTLS)  # its code is at its offsets
    assert listing[found.write][1].startswith("push")
    assert re.fullmatch(r"call   [0-9a-f]+ <memcpy@plt>", listing[found.read][1])
