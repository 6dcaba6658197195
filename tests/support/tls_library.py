"""Assemble libraries with code as OpenSSL and GnuTLS have it where their plaintext is."""

from __future__ import annotations

from pathlib import Path

from support.compiled import run

EXPORTS = """
.globl TLS_method, SSL_read_ex
.type TLS_method, @function
.type SSL_read_ex, @function
SSL_read_ex: ret
TLS_method: {endbr}
  lea table(%rip), %rax
  ret
"""
TABLE = """
.section .data.rel.ro, "aw"
table: .fill {slots}, 8, 0
  .quad read, read, write
.section .text
"""
WRITE = """
{prefix}
written: push %rbp
  mov %rdi, %rbp
  mov $23, %esi
  mov 0x70(%rax), %rax
  pop %rbp
  jmp *%rax
"""
READ = """
{prefix}
  push %r13
  mov %rcx, {received}
  mov %rsi, %r12
  mov %rdi, %rbx
  sub $0x18, %rsp
  call errno
  movl $0, (%rax)
  mov 0x1ac(%rdi), %edi
  test %edi, %edi
  jne other
  mov %r12, %rcx
  mov $23, %esi
  {seventh}
  mov %rbx, %rdi
  {before}
  call *{method}(%rax)
  pop %rcx
  mov 0xa8(%rbp), %rdx
  {behind}
  cmp $-1, %eax
{end}: je other
  movl $0, 0x110(%rdx)
other: ret
errno: ret
"""

GNUTLS = """
.globl gnutls_record_send2, gnutls_record_recv_seq
.type gnutls_record_send2, @function
.type gnutls_record_recv_seq, @function
gnutls_record_send2:
written: push %r15
  ret
gnutls_record_recv_seq:
  mov 0x770(%rdi), %r9d
  mov %rcx, %r8
  mov %rdx, %rcx
  mov %rsi, %rdx
  mov $23, %esi
  jmp receive
receive:
  push %r14
  mov %r8, %r14
  push %r13
  mov %rdx, %r13
  push %rbx
  mov %rdi, %rbx
  call other
  cmp $23, %esi
  je data
  mov $1, %r8d
  call other
  cltq
  ret
data:
  mov %r14, %r8
  mov %r13, %rdx
  mov %rbx, %rdi
  call buffered
  cltq
  ret
buffered:
  push %rbp
  mov %rdi, %rbp
  mov %esi, %edi
  mov %rbp, %rsi
  call copy
  ret
copy:
  push %r14
  push %r13
  mov %rdx, %r14
  lea 0x120(%rsi), %r13
  lea 0x10(%rsp), %rsi
  mov %r13, %rdi
  call other
  mov 0x18(%rsp), %ebx
  mov 0x38(%rax), %rax
  bswap %rax
  mov 0x10(%rsp), %rsi
  mov %rbx, %rdx
  mov %r14, %rdi
copied: call memcpy
  ret
memcpy: ret
other: ret
"""


def library(folder: Path, **changes: str) -> tuple[Path, dict[str, int]]:
    """Assemble a library with code as OpenSSL has it, and return it with its labels. Its code is at its offset in the
    file."""
    values = {"endbr": "", "slots": "7", "prefix": "", "received": "%r13", "before": "", "behind": "", "method": "0x68"}
    values |= {"end": "ended", "write_prefix": "write:", "read_prefix": "read:", "more": "", **changes}
    values.setdefault("seventh", f"push {values['received']}")
    read = READ.format(**{**values, "prefix": values["read_prefix"]})
    write = WRITE.format(**{**values, "prefix": values["write_prefix"]})
    return _assembled(folder, EXPORTS.format(**values) + TABLE.format(**values) + write + read + values["more"])


def gnutls_library(folder: Path, *changes: tuple[str, str]) -> tuple[Path, dict[str, int]]:
    """Do the same with code as GnuTLS has it, in which texts are replaced by others."""
    code = GNUTLS
    for old, new in changes:
        assert old in code
        code = code.replace(old, new)
    return _assembled(folder, code)


def _assembled(folder: Path, code: str) -> tuple[Path, dict[str, int]]:
    source, binary = folder / "library.s", folder / "library.so"
    source.write_text(code)
    run("gcc", "-shared", "-nostdlib", "-o", binary, source)
    labels = {line.split()[2]: int(line.split()[0], 16) for line in run("nm", binary).splitlines() if len(line) > 19}
    run("strip", binary)
    return binary, labels
