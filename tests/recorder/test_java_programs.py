"""Record a Java program on this machine, and compare its frames with what Thread.dumpStack says of the same sends."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from httpreport.languages.jit_map import JIT
from httpreport.languages.stack_trace import StackTrace
from support.python_frames import Recorded, read
from support.recorders import needs_a_recorder
from workload.recorder import recording

SOURCE = Path(__file__).parents[1] / "workload" / "java_situations" / "Situations.java"
NAME = "javaprogram"  # of the process that is recorded, and of its threads
ALWAYS = ("-XX:+UnlockDiagnosticVMOptions", "-XX:+ShowHiddenFrames")  # dumpStack leaves out some frames otherwise
FRAME_POINTERS = "-XX:+PreserveFramePointer"
COMPILED = ("-Xcomp", "-XX:TieredStopAtLevel=1")
INTERPRETER = "Interpreter"  # the only name that the JVM's map has for methods that it interprets
SENDS = "java.io.OutputStream.write"  # what Situations.send calls
METHOD = re.compile(r"\S+ (\S+)\(.*\)")  # int java.util.List.size()

pytestmark = pytest.mark.every_client  # not every test machine has Java


@pytest.fixture(scope="module", autouse=True)
def recorder() -> None:
    needs_a_recorder()


def record(folder: Path, *options: str) -> Recorded:
    """Record the second round of the situations. After the first one, the JVM writes a map of what it has compiled."""
    java = shutil.which("java")
    assert java
    (folder / NAME).symlink_to(os.path.realpath(java))
    subprocess.run(["javac", "-d", folder, SOURCE], check=True)
    (folder / "server").touch()  # what answers notes nothing
    program = ("-cp", folder, "Situations", folder / "client", NAME)
    command: list[str | Path] = [folder / NAME, *ALWAYS, *options, *program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        jit_map = Path(f"/tmp/perf-{process.pid}.map")
        try:
            make_round(process)
            subprocess.run(["jcmd", str(process.pid), "Compiler.perfmap"], check=True, stdout=subprocess.DEVNULL)
            (folder / "client").write_text("")
            filters = ("-t", "0", "-q", "-p", NAME, "--probes", "tracepoint", "--stack-size", "64")
            with recording(folder / "run.cap", *filters):
                make_round(process)
        finally:
            process.kill()
            jit_map.unlink(missing_ok=True)
    return read(folder / "run.cap")


def make_round(process: subprocess.Popen[str]) -> None:
    assert process.stdin and process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "noted\n"


def java_frames(trace: StackTrace) -> list[str]:
    """Return class and method of each Java frame, or INTERPRETER."""
    names = [frame.name or "" for frame in trace.frames if frame.module == JIT]
    methods = ((name, METHOD.fullmatch(name)) for name in names)
    return [method[1] if method else name for name, method in methods if method or name == INTERPRETER]


def dumped(line: str) -> str:
    """Return class and method of a line of dumpStack: java.base/java.lang.Thread.run(Thread.java:840)."""
    return re.sub(r"^[a-z.]+/", "", line).partition("(")[0]


def compared(recorded: Recorded) -> Iterator[tuple[str, list[str], list[str], StackTrace]]:
    """Yield situation, recorded and dumped Java frames, and stack trace of each send."""
    sends = list(recorded.traces())
    assert len(sends) > 20
    for situation, lines, trace in sends:
        yield situation, java_frames(trace), list(map(dumped, map(str, lines))), trace


def is_part(some: Iterable[str], of: Iterable[str]) -> bool:
    """Return whether something is a sequence with nothing added and in the same order."""
    left = iter(of)
    return all(one in left for one in some)


def test_each_interpreted_method_has_a_frame(tmp_path: Path) -> None:
    callees = set()
    for situation, found, expected, trace in compared(record(tmp_path, "-Xint")):
        assert set(found) == {INTERPRETER} and trace.incomplete is None, situation
        callees.add(len(found) - len(expected))
    assert len(callees) == 1  # the methods that Situations.send calls


def test_compiled_methods_have_the_frames_that_the_jvm_dumps(tmp_path: Path) -> None:
    interpreted = total = 0
    for situation, found, expected, trace in compared(record(tmp_path, *COMPILED, "-XX:-Inline", FRAME_POINTERS)):
        own = found[-len(expected) :]
        assert [one if name != INTERPRETER else name for one, name in zip(expected, own)] == own, situation
        assert found[-len(expected) - 1] == SENDS and trace.incomplete is None, situation
        interpreted += own.count(INTERPRETER)
        total += len(own)
    assert interpreted < total / 4


@pytest.mark.parametrize("compilers", [("-Xcomp",), COMPILED], ids=["all compilers", "one compiler"])
@pytest.mark.parametrize("frame_pointers", [(FRAME_POINTERS,), ()], ids=["frame pointers", "no frame pointers"])
def test_no_frame_has_another_name(compilers: tuple[str, ...], frame_pointers: tuple[str, ...], tmp_path: Path) -> None:
    """What is compiled into another method has no frame. Without frame pointers callers may be missing: then the trace
    does not count as whole."""
    for situation, found, expected, trace in compared(record(tmp_path, *compilers, *frame_pointers)):
        own = found[found.index(SENDS) + 1 :] if SENDS in found else []
        assert is_part((name for name in own if name != INTERPRETER), expected), situation
        assert trace.incomplete is not None or (frame_pointers and own[-1] in (expected[-1], INTERPRETER)), situation
