"""Compile programs for tests in a temporary folder, with the machine's own gcc, g++ and binutils."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

SYSTEM_BINARIES = [
    Path(path).resolve()
    for path in (
        "/usr/bin/python3",
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/x86_64-linux-gnu/libssl.so.3",
        "/lib/x86_64-linux-gnu/libcrypto.so.3",
        "/lib/x86_64-linux-gnu/libstdc++.so.6",
        "/lib/x86_64-linux-gnu/libm.so.6",
        "/usr/bin/perl",
    )
]
# Where node's functions are: Debian's node has them in a library.
NODE_BINARY = next(Path("/usr/lib/x86_64-linux-gnu").glob("libnode.so.*"), Path("/usr/bin/node"))

# Blocks below a function that it makes at run time.
JIT = """
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static void block(void) { char byte; read(0, &byte, 1); }
int main(void) {  /* push rbp; mov rbp, rsp; call rdi; pop rbp; ret */
  static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
  void *at = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(at, code, sizeof code);
  ((void (*)(void (*)(void)))at)(block);
  return 0;
}
"""


def run(*command: str | Path) -> str:
    """Return the standard output of a command that must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def compiled(folder: Path, name: str, source: str, options: Sequence[str] = ()) -> Path:
    """Compile and link `source` into folder/name, and return the path. `name` ends in the language, .c or .cpp, which
    the program's name lacks."""
    code = folder / name
    code.write_text(source)
    program = code.with_suffix("")
    run("g++" if code.suffix == ".cpp" else "gcc", "-O2", "-o", program, code, *options)
    return program
