"""Check that the trampolines of Python's -X perf are unwound, in both forms that CPython has had."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from httpcapture import JitMap
from httpreport.languages.stack_trace import StackTrace
from httpreport.symbols.binary_lookup import Binaries
from httpreport.unwind import Found
from support.compiled import compiled
from support.live import Taken, taken
from support.recordings import PROCESS_START_NS, STARTED_NS
from support.redactions import redacted, traces
from support.reports import reported
from support.stacks import blocked, wait_until_blocked

# The caller's frame is found by its frame pointer, since it has an array of variable length.
PROGRAM = """
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static void block(void) { char byte; read(0, &byte, 1); }
__attribute__((noinline)) int caller(void (*code)(void (*)(void)), int size) {
  volatile char bytes[size];
  bytes[0] = 1;
  code(block);
  return bytes[0];
}
int main(int argc, char **argv) {
  static const unsigned char code[] = {CODE};
  void *at = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(at, code, sizeof code);
  return caller(at, argc + 20);
}
"""
ENDBR64 = "0xf3, 0x0f, 0x1e, 0xfa, "
WITHOUT = "0x48, 0x83, 0xec, 0x08, 0xff, 0xd7, 0x48, 0x83, 0xc4, 0x08, 0xc3"  # sub; call *%rdi; add; ret
WITH = "0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3"  # push; mov; call *%rdi; pop; ret
OPTIONS = ["-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-fcf-protection"]
PYTHONS = [
    path
    for path in map(shutil.which, ("python3.12", "python3.13", "python3.14"))
    if path and not subprocess.run([path, "-c", ""], check=False).returncode  # a shim may have no Python
]
NAME = "py::view:/srv/app.py"


def traced(one: Taken, folder: Path, *names: JitMap) -> StackTrace:
    find_binary = Binaries(root=str(folder / "nothing")).find
    report = reported(one.capture(*names), find_binary=find_binary)
    given_away = reported(redacted(one.capture(*names), find_binary), find_binary=find_binary)
    assert [trace.frames[-1] for trace in traces(report)] == [trace.frames[-1] for trace in traces(given_away)]
    return report.trace(0)


def jit_map(one: Taken, name: str) -> JitMap:
    start = next(line for line in one.process.maps.splitlines() if b" rwxp " in line).split(b"-")[0]
    return JitMap(12345, PROCESS_START_NS, STARTED_NS + 2, 0, b"%s 10 %s\n" % (start, name.encode()))


@pytest.mark.parametrize("code", [WITHOUT, WITH, ENDBR64 + WITHOUT, ENDBR64 + WITH])
def test_a_trampoline_leads_to_its_caller(code: str, tmp_path: Path) -> None:
    program = compiled(tmp_path, "calls.c", PROGRAM.replace("CODE", code), OPTIONS)
    with blocked([program]) as pid:
        one = taken(pid)

    trace = traced(one, tmp_path, jit_map(one, NAME))

    assert [frame.name for frame in trace.frames][1:5] == ["block", NAME, "caller", "main"]
    assert trace.frames[-1].name == "_start" and trace.incomplete is None
    assert {frame.found for frame in trace.frames} == {Found.REGISTERS, Found.CFI}


def test_other_code_with_a_name_is_no_trampoline(tmp_path: Path) -> None:
    program = compiled(tmp_path, "calls.c", PROGRAM.replace("CODE", WITHOUT), OPTIONS)
    with blocked([program]) as pid:
        one = taken(pid)

    trace = traced(one, tmp_path, jit_map(one, "py_view"))

    assert trace.frames[2].name == "py_view"
    assert Found.FRAME_POINTER in {frame.found for frame in trace.frames} or trace.incomplete is not None


if PYTHONS:  # Debian 12 has none of these versions

    @pytest.mark.parametrize("python", PYTHONS)
    def test_python_itself(python: str, tmp_path: Path) -> None:
        """The oracle is the source: each function calls the next."""
        (tmp_path / "app.py").write_text(
            "import os\ndef inner(): os.read(0, 1)\ndef outer(): inner()\nprint(os.getpid(), flush=True)\nouter()\n"
        )
        command = [python, "-X", "perf", str(tmp_path / "app.py")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
            try:
                assert running.stdout
                pid = int(running.stdout.readline())
                wait_until_blocked(pid)
                one = taken(pid)
                text = Path(f"/tmp/perf-{pid}.map").read_bytes()
            finally:
                running.kill()
        os.unlink(f"/tmp/perf-{pid}.map")

        trace = traced(one, tmp_path, JitMap(12345, PROCESS_START_NS, STARTED_NS + 2, 0, text))

        named = [frame.name for frame in trace.frames if (frame.name or "").startswith("py::")]
        assert named == [f"py::{function}:{tmp_path}/app.py" for function in ("inner", "outer", "<module>")]
        assert trace.incomplete is None
