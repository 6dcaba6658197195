"""Check that Python frames are joined with their stacks, and their code objects are in each part that needs them.

The frames are made up, of code objects of this process.
"""

from __future__ import annotations

import io
import os
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import CodeType

import pytest

from httpbpf.layout import ENUMS, RUNTIME, WALKED_ROW
from httpcapture import Code, Process, Stack, WalkStatus, Writer
from httprec.languages.languages import Languages
from httprec.languages.mapped_files import mapped_files
from httprec.languages.memory import Memory
from httprec.languages.python_code import living_cookie
from httprec.languages.python_process import Python, find_python
from httprec.languages.walked_frames import Key, WalkedFrames
from httprec.rows import RowCodec
from support.capture_samples import META, read_all

PID = os.getpid()
START_NS = 7_000_000_000
ROW, LAYOUT = RowCodec(WALKED_ROW), RowCodec(RUNTIME)


class FakeKernel:
    def __init__(self) -> None:
        self.rows: deque[bytes] = deque()
        self.waiting: dict[int, bytes] = {}
        self.told: dict[Key, bytes] = {}

    def walked_rows(self) -> Iterator[bytes]:
        return (self.rows.popleft() for _ in range(len(self.rows)))

    def walked_waiting(self, slot: int) -> bytes:
        return self.waiting.get(slot, b"")

    def set_runtime(self, key: Key, layout: bytes) -> None:
        self.told[key] = layout

    def set_runtime_of_executable(self, pid: int, layout: bytes) -> None:
        pass


class Recorder:
    """Hold Python frames, the kernel that they come from, and the file that they go to."""

    def __init__(self) -> None:
        self.kernel, self.file = FakeKernel(), io.BytesIO()
        self.writer = Writer(self.file, META)
        self.python = Languages(self.writer, [lambda codes: WalkedFrames(codes, self.kernel)])
        maps, executable = Path("/proc/self/maps").read_bytes(), os.readlink(b"/proc/self/exe")
        self.process = Process(PID, START_NS, 1, b"python", executable, PID, maps, ())
        found = find_python(PID, mapped_files(PID, maps), executable)
        assert found is not None
        self.found: Python = found
        self.version = found.version[0] << 8 | found.version[1]

    def frame(self, code: CodeType) -> bytes:
        with Memory(PID) as memory:
            cookie = living_cookie(memory, self.found, id(code))
        return struct.pack("<5Q", 1, id(code), 2, cookie, 0)

    def row(self, stack: Stack, frames: bytes, version: int = 0) -> bytes:
        return ROW.make(
            {
                "id": stack.id,
                "process_start": stack.process_start_ns,
                "taken": stack.taken_ns,
                "pid": stack.pid,
                "frames_size": len(frames),
                "version": version or self.version,
                "language": ENUMS["language"].index("PYTHON"),
                "status": WalkStatus.WHOLE,
            }
        ) + frames.ljust(len(frames) + 40, b"?")  # what other frames have left in the slot

    def send(self, *rows: bytes) -> None:
        self.kernel.rows.extend(rows)
        self.python.drain()

    def codes(self) -> list[Code]:
        self.writer.flush()
        return [record for record in read_all(self.file.getvalue())[0] if isinstance(record, Code)]

    def begin_part(self) -> None:
        self.file = io.BytesIO()
        self.writer = Writer(self.file, META)
        self.python.begin_part(self.writer)


@pytest.fixture
def recorder() -> Recorder:
    made = Recorder()
    made.python.look_at(made.process)
    return made


def stack(number: int, taken_ns: int = 5) -> Stack:
    return Stack(number, PID, START_NS, taken_ns, b"")


def unwalked(stack: Stack, recorder: Recorder) -> Stack:
    return replace(stack, python_version=recorder.version, python_status=WalkStatus.NOT_WALKED)


def one() -> None:
    """Be a function of some lines."""


def test_the_kernel_is_told_which_python_a_process_has(recorder: Recorder) -> None:
    (told,) = recorder.kernel.told.values()
    assert LAYOUT.read(told)["version"] == recorder.version
    assert recorder.found.for_process() in told
    recorder.python.look_at(Process(PID, 8, 1, b"sh", b"/bin/sh", PID, b"", ()))
    assert LAYOUT.read(recorder.kernel.told[PID, 8])["language"] == 0


def test_frames_are_joined_with_their_stack_and_its_code_objects_written_once(recorder: Recorder) -> None:
    frames = recorder.frame(one.__code__) * 2
    recorder.send(recorder.row(stack(1), frames), recorder.row(stack(2), frames))
    for number in (2, 1):
        joined = recorder.python.join(stack(number))
        recorder.python.write_codes(joined)
        assert (joined.python, joined.python_status) == (frames, WalkStatus.WHOLE)
    (code,) = recorder.codes()
    assert (code.address, code.problem) == (id(one.__code__), "")
    assert code.name in (b"one", one.__code__.co_name.encode())
    assert code.filename == __file__.encode()


@pytest.mark.parametrize("other", [stack(2), stack(1, taken_ns=6)], ids=["id", "moment"])
def test_frames_of_another_stack_are_not_joined(recorder: Recorder, other: Stack) -> None:
    recorder.send(recorder.row(stack(1), recorder.frame(one.__code__)))
    assert recorder.python.join(other) == unwalked(other, recorder)


def test_frames_of_a_stack_that_waits_are_taken_from_its_slot(recorder: Recorder) -> None:
    frames = recorder.frame(one.__code__)
    recorder.kernel.waiting[4] = recorder.row(stack(0), frames)
    assert recorder.python.join_waiting(stack(9), 4).python == frames
    of_later_call = stack(9, taken_ns=6)
    assert recorder.python.join_waiting(of_later_call, 4) == unwalked(of_later_call, recorder)
    for other in (5, 0):
        assert recorder.python.join_waiting(stack(9), other) == unwalked(stack(9), recorder)


def test_every_part_has_the_code_objects_of_its_own_stacks(recorder: Recorder) -> None:
    recorder.send(recorder.row(stack(1), recorder.frame(one.__code__)))
    joined = recorder.python.join(stack(1))
    for _ in range(2):
        recorder.python.write_codes(joined)
        recorder.python.write_codes(joined)
        assert len(recorder.codes()) == 1
        recorder.begin_part()
    assert not recorder.codes()


def test_frames_of_a_young_process_are_read_before_their_stack_comes(recorder: Recorder) -> None:
    code = compile("1", "<young>", "eval")
    frames = recorder.frame(code)
    recorder.send(recorder.row(stack(0), frames))
    del code
    recorder.send(recorder.row(stack(1), frames))
    recorder.python.write_codes(recorder.python.join(stack(1)))
    (written,) = recorder.codes()
    assert (written.filename, written.problem) == (b"<young>", "")


def test_code_objects_that_cannot_be_read_have_the_reason(recorder: Recorder) -> None:
    gone, other_version = struct.pack("<5Q", 1, id(one.__code__), 2, 5, 0), recorder.frame(one.__code__)
    recorder.send(recorder.row(stack(1), gone), recorder.row(stack(2), other_version, version=0x307))
    for number in (1, 2):
        recorder.python.write_codes(recorder.python.join(stack(number)))
    assert [code.problem for code in recorder.codes()] == [
        "it had been freed, and another one was in its place",
        "its process had ended or become another program",
    ]


def test_a_code_object_that_is_read_after_all_is_written_again(recorder: Recorder) -> None:
    frames = recorder.frame(one.__code__)
    recorder.send(recorder.row(stack(1), frames, version=0x307))
    recorder.python.write_codes(recorder.python.join(stack(1)))
    recorder.send(recorder.row(stack(2), frames))
    recorder.python.write_codes(recorder.python.join(stack(2)))
    assert [bool(code.problem) for code in recorder.codes()] == [True, False]


def test_a_busy_kernel_does_not_keep_the_recorder_from_its_stacks(recorder: Recorder) -> None:
    """It sends frames faster than they are taken."""
    frames = recorder.frame(one.__code__)
    recorder.send(recorder.row(stack(1), frames))
    waiting = [recorder.row(stack(number), frames) for number in range(2, 1000)]
    recorder.kernel.rows.extend(waiting)
    assert recorder.python.join(stack(1)).python == frames
    assert 0 < len(waiting) - len(recorder.kernel.rows) < 10
