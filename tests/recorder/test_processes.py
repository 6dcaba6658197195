"""Check that processes are recorded as /proc shows them, and that a process without a record has a reason."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from httpcapture import BeyondLimitError, JitMap, Module, Process, Record, Writer
from httprec.modules import Modules
from httprec.processes import Key, Processes
from support.programs import running, until

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
LATER = 1_000_000_000_000  # ns: long enough after 0 to read any maps again
GONE = "ended before its maps were read"
# Does what it is told, a line of Python at a time.
CHILD = "import sys\nfor line in sys.stdin: exec(line); print('done', flush=True)"


class Written(Writer):
    """Keep the records instead of writing them."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def jit_map(self, jit_map: JitMap) -> None:
        self.records.append(jit_map)

    def module(self, module: Module) -> None:
        self.records.append(module)

    def process(self, process: Process) -> None:
        self.records.append(process)

    def processes(self) -> list[Process]:
        return [record for record in self.records if isinstance(record, Process)]

    def modules(self) -> dict[int, Module]:
        return {record.id: record for record in self.records if isinstance(record, Module)}


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def processes(written: Written) -> Processes:
    return Processes(written, Modules(written, 0))


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    with running(sys.executable, "-c", CHILD) as process:
        tell(process, "pass")
        yield process


def tell(child: subprocess.Popen[str], line: str) -> str:
    """Let the child run a line, and return what it printed."""
    assert child.stdin is not None and child.stdout is not None
    print(line, file=child.stdin, flush=True)
    return "".join(iter(child.stdout.readline, "done\n"))


def key_of(pid: int) -> Key:
    """Return a process's key as the kernel gives it, whose clock is finer than the ticks of /proc."""
    ticks = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    return pid, ticks * TICK_NS + TICK_NS // 3


def build_id(path: str | Path) -> str:
    shown = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
    match = re.search("Build ID: ([0-9a-f]+)", shown)
    return match.group(1) if match else ""


def test_a_process_is_recorded_as_proc_shows_it(
    written: Written, processes: Processes, child: subprocess.Popen[str]
) -> None:
    processes.record(key_of(child.pid), 77)
    (process,) = written.processes()
    assert (process.pid, process.start_ns) == key_of(child.pid)
    assert process.taken_ns == 77 and process.problem == ""
    assert process.maps == Path(f"/proc/{child.pid}/maps").read_bytes()
    assert process.name == Path(f"/proc/{child.pid}/comm").read_bytes().rstrip(b"\n")
    assert process.executable == os.readlink(f"/proc/{child.pid}/exe").encode()
    assert process.namespace_pid == child.pid
    assert process.cgroups == Path(f"/proc/{child.pid}/cgroup").read_bytes()
    assert processes.recorded == 1 and processes.gone == 0


def test_every_file_with_code_is_a_module_with_its_build_id(
    written: Written, processes: Processes, child: subprocess.Popen[str]
) -> None:
    processes.record(key_of(child.pid), 0)
    (process,), modules = written.processes(), written.modules()
    found = {mapped.address: modules[mapped.module] for mapped in process.modules}
    maps = Path(f"/proc/{child.pid}/maps").read_text()
    code = re.findall(r"^([0-9a-f]+)-\S+ ..x. \S+ \S+ [1-9]\d* +(/.*)$", maps, re.MULTILINE)
    assert len(code) > 2
    for low, path in code:
        module = found[int(low, 16)]
        assert module.path == path.encode()
        assert module.build_id.hex() == build_id(path)
        assert module.size == os.path.getsize(path)


def test_modules_come_before_the_process_that_maps_them(
    written: Written, processes: Processes, child: subprocess.Popen[str]
) -> None:
    processes.record(key_of(child.pid), 0)
    assert isinstance(written.records[-1], Process)
    assert {mapped.module for mapped in written.records[-1].modules} <= set(written.modules())


def test_a_process_is_written_once(written: Written, processes: Processes, child: subprocess.Popen[str]) -> None:
    for _ in range(3):
        processes.announce(key_of(child.pid), 0)
        processes.record(key_of(child.pid), 0)
    assert len(written.processes()) == 1 and processes.recorded == 1


def test_a_file_of_two_processes_is_one_module(
    written: Written, processes: Processes, child: subprocess.Popen[str]
) -> None:
    with running(sys.executable, "-c", CHILD) as other:
        tell(other, "pass")
        processes.record(key_of(child.pid), 0)
        processes.record(key_of(other.pid), 0)
    paths = [module.path for module in written.modules().values()]
    assert len(written.processes()) == 2
    assert len(paths) == len(set(paths)) > 2


def test_an_announced_process_is_known_after_its_end(written: Written, processes: Processes) -> None:
    with running(sys.executable, "-c", CHILD) as child:
        tell(child, "pass")
        key, maps = key_of(child.pid), Path(f"/proc/{child.pid}/maps").read_bytes()
        processes.announce(key, 5)
        assert written.records == []  # none of its calls is recorded yet
    processes.record(key, 6)
    (process,) = written.processes()
    assert (process.maps, process.taken_ns, process.problem) == (maps, 5, "")
    assert processes.gone == 0


def test_a_process_that_has_ended_says_so(written: Written, processes: Processes) -> None:
    with running("sleep", "60") as child:
        key = key_of(child.pid)
    processes.record(key, 5)
    (process,) = written.processes()
    assert ((process.pid, process.start_ns), process.maps, process.problem) == (key, b"", GONE)
    assert processes.gone == 1 and processes.recorded == 1


def test_a_process_that_nobody_has_waited_for_has_ended(written: Written, processes: Processes) -> None:
    with running("sleep", "60") as child:
        key = key_of(child.pid)
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        processes.record(key, 5)
    (process,) = written.processes()
    assert process.problem == GONE and processes.gone == 1


# Leaves a thread behind that waits; SYS_exit ends the main thread alone.
LEAVE_A_THREAD = (
    "import ctypes, threading; threading.Thread(target=threading.Event().wait).start(); "
    "ctypes.CDLL(None).syscall(60, 0)"
)


def test_a_process_goes_on_when_its_main_thread_has_ended(
    written: Written, processes: Processes, child: subprocess.Popen[str]
) -> None:
    key, maps = key_of(child.pid), Path(f"/proc/{child.pid}/maps")
    name = Path(f"/proc/{child.pid}/comm").read_text().rstrip("\n")
    executable = os.readlink(f"/proc/{child.pid}/exe").encode()
    assert child.stdin is not None
    print(LEAVE_A_THREAD, file=child.stdin, flush=True)
    until(name, child.pid, "Z")
    assert maps.read_bytes() == b""
    thread = next(task for task in Path(f"/proc/{child.pid}/task").iterdir() if task.name != str(child.pid))
    processes.record(key, 5)
    processes.check_stack(key, 6)
    processes.check_maps(LATER)
    (process,), modules = written.processes(), written.modules()
    assert (process.pid, process.start_ns, process.problem) == (*key, "")
    assert process.maps == (thread / "maps").read_bytes() != b""
    assert (process.executable, process.namespace_pid) == (executable, child.pid)
    assert {modules[mapped.module].path for mapped in process.modules} >= {executable, b"[vdso]"}
    assert processes.gone == 0


def test_a_process_that_is_ending_has_ended(
    written: Written, processes: Processes, child: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: str, limit: int) -> bytes:
        return b"" if path.endswith("/maps") else Path(path).read_bytes()[:limit]

    monkeypatch.setattr("httprec.processes._read", read)  # it gives its memory back a moment before it is a zombie
    processes.record(key_of(child.pid), 5)
    (process,) = written.processes()
    assert process.problem == GONE and processes.gone == 1


@pytest.mark.parametrize("ticks", [-1, 1, 100])
def test_a_pid_that_is_another_process_by_now_says_so(
    written: Written, processes: Processes, child: subprocess.Popen[str], ticks: int
) -> None:
    pid, start = key_of(child.pid)
    processes.record((pid, start + ticks * TICK_NS), 5)
    (process,) = written.processes()
    assert (process.maps, process.modules, process.problem) == (b"", (), GONE)
    assert processes.gone == 1


def test_a_kernel_thread_has_no_user_space(written: Written, processes: Processes) -> None:
    if Path("/proc/2/comm").read_text() != "kthreadd\n":
        pytest.skip("pid 2 is no kernel thread: the tests run in a pid namespace")
    processes.record(key_of(2), 5)
    (process,) = written.processes()
    assert (process.name, process.maps, process.problem) == (b"kthreadd", b"", "has no user space")
    assert processes.gone == 0


def test_a_process_in_a_pid_namespace_has_its_pid_there(written: Written, processes: Processes) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: cannot make a pid namespace")
    with running("unshare", "--pid", "--fork", "sleep", "60") as outer:
        until("unshare", outer.pid)
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        while not children.read_text().strip():
            time.sleep(0.01)
        inner = int(children.read_text())
        until("sleep", inner)
        processes.record(key_of(inner), 0)
        os.kill(inner, signal.SIGKILL)
    assert [process.namespace_pid for process in written.processes()] == [1]


def test_a_name_may_hold_anything(written: Written, processes: Processes, child: subprocess.Popen[str]) -> None:
    tell(child, r"import ctypes; ctypes.CDLL(None).prctl(15, b') S 1 (\n\xff 22', 0, 0, 0)")
    processes.record(key_of(child.pid), 0)
    (process,) = written.processes()
    assert (process.name, process.problem) == (b") S 1 (\n\xff 22", "")


def library(folder: Path) -> Path:
    source, built = folder / "answer.c", folder / "libanswer.so"
    source.write_text("int answer(void) { return 42; }")
    subprocess.run(["gcc", "-shared", "-Wl,--build-id", "-o", built, source], check=True)
    return built


def test_maps_are_read_again_for_a_stack_that_is_younger(
    written: Written, processes: Processes, child: subprocess.Popen[str], tmp_path: Path
) -> None:
    loaded, key = library(tmp_path), key_of(child.pid)
    processes.record(key, 0)
    before = written.processes()[0]
    tell(child, f"import ctypes; ctypes.CDLL({str(loaded)!r})")
    assert str(loaded).encode() not in before.maps
    processes.check_stack(key, 0)
    processes.check_maps(LATER)
    assert written.processes() == [before]  # the stack was taken before
    processes.check_stack(key, 1)
    processes.check_maps(LATER + 20)
    _, after = written.processes()
    assert after.taken_ns == LATER + 20 and after.problem == ""
    assert after.maps == Path(f"/proc/{child.pid}/maps").read_bytes()
    module = next(each for each in written.modules().values() if each.path == str(loaded).encode())
    assert module.build_id.hex() == build_id(loaded)
    assert module.id in {mapped.module for mapped in after.modules}
    processes.check_stack(key, LATER + 25)
    processes.check_maps(2 * LATER)
    assert len(written.processes()) == 2 and processes.recorded == 1


def test_maps_that_change_at_every_stack_are_read_again_the_more_seldom_the_larger_they_are(
    written: Written, processes: Processes, child: subprocess.Popen[str]
) -> None:
    key, rounds, round_ns = key_of(child.pid), 50, 100_000_000
    tell(child, "import mmap; keep = [mmap.mmap(-1, 4096, prot=1 + i % 2 * 4) for i in range(600)]")
    processes.record(key, 0)
    for number in range(1, rounds):
        tell(child, "keep.append(mmap.mmap(-1, 4096, prot=7)); keep.append(mmap.mmap(-1, 4096, prot=1))")
        processes.check_stack(key, number * round_ns)
        processes.check_maps(number * round_ns)
    sizes = [len(process.maps) for process in written.processes()]
    assert 5 < len(sizes) < rounds / 2
    assert sum(sizes[1:-1]) <= 100_000 * rounds * round_ns / 1e9
    processes.check_maps(rounds * round_ns, last=True)
    assert written.processes()[-1].maps == Path(f"/proc/{child.pid}/maps").read_bytes()


def test_maps_are_not_written_again_for_new_memory_without_code(
    written: Written, processes: Processes, child: subprocess.Popen[str]
) -> None:
    key = key_of(child.pid)
    processes.record(key, 0)
    tell(child, "memory = bytearray(64 << 20)")
    assert Path(f"/proc/{child.pid}/maps").read_bytes() != written.processes()[0].maps
    processes.check_stack(key, 1)
    processes.check_maps(LATER)
    assert len(written.processes()) == 1


def test_the_capture_says_until_when_the_maps_were_unchanged(
    written: Written, processes: Processes, child: subprocess.Popen[str], tmp_path: Path
) -> None:
    """A reporter must know which maps belong to a stack."""
    key = key_of(child.pid)
    processes.record(key, 0)
    began_ns = time.monotonic_ns()
    processes.check_stack(key, 1)
    processes.check_maps(LATER)
    ended_ns = time.monotonic_ns()
    tell(child, f"import ctypes; ctypes.CDLL({str(library(tmp_path))!r})")
    assert len(written.processes()) == 1, "not at each stack"
    processes.check_stack(key, LATER + 1)
    processes.check_maps(2 * LATER)
    first, unchanged, newer = written.processes()
    assert first.read_ns < began_ns < unchanged.read_ns < ended_ns < newer.read_ns
    assert (unchanged.pid, unchanged.start_ns, unchanged.maps, unchanged.unchanged) == (*key, b"", True)
    assert not first.unchanged and not newer.unchanged
    processes.check_maps(2 * LATER, last=True)
    assert len(written.processes()) == 3, "nothing was seen since"


def test_a_part_says_of_its_own_processes_that_their_maps_were_unchanged(
    written: Written, processes: Processes, child: subprocess.Popen[str]
) -> None:
    key = key_of(child.pid)
    processes.record(key, 0)
    processes.begin_part(written)
    processes.check_stack(key, 1)
    processes.check_maps(LATER, last=True)
    assert len(written.processes()) == 1, "this part does not have the maps yet"
    processes.record(key, LATER)
    processes.check_maps(LATER, last=True)
    assert [process.unchanged for process in written.processes()] == [False, False, True]
    processes.check_maps(LATER, last=True)
    assert len(written.processes()) == 3


def test_what_was_known_stays_when_the_process_has_ended_since(written: Written, processes: Processes) -> None:
    with running(sys.executable, "-c", CHILD) as child:
        tell(child, "pass")
        key = key_of(child.pid)
        processes.record(key, 0)
    processes.check_stack(key, 1)
    processes.check_maps(LATER)
    assert len(written.processes()) == 1 and written.processes()[0].problem == ""
    assert processes.gone == 0


def test_exec_makes_another_program_of_the_same_process(
    written: Written, processes: Processes, child: subprocess.Popen[str]
) -> None:
    key = key_of(child.pid)
    processes.record(key, 0)
    assert child.stdin is not None
    print("import os; os.execv('/bin/sleep', ['sleep', '60'])", file=child.stdin, flush=True)
    until("sleep", child.pid)
    assert key_of(child.pid) == key
    processes.check_stack(key, 1)
    processes.check_maps(LATER)
    before, after = written.processes()
    assert (after.pid, after.start_ns) == (before.pid, before.start_ns) == key
    assert (after.name, after.executable) == (b"sleep", os.path.realpath("/bin/sleep").encode())
    assert after.maps == Path(f"/proc/{child.pid}/maps").read_bytes() != before.maps


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "upgraded"])
def test_a_binary_that_is_no_longer_there_is_identified(
    written: Written, processes: Processes, tmp_path: Path, replaced: bool
) -> None:
    program = tmp_path / "program"
    shutil.copy("/bin/sleep", program)
    with running(program, "60") as child:
        until("program", child.pid)
        program.unlink()
        if replaced:
            shutil.copy("/bin/ls", program)
        processes.record(key_of(child.pid), 0)
    (process,) = written.processes()
    assert process.executable == f"{program} (deleted)".encode()
    module = next(each for each in written.modules().values() if each.path == f"{program} (deleted)".encode())
    assert module.build_id.hex() == build_id("/bin/sleep") != build_id("/bin/ls")


@pytest.mark.parametrize(
    ("line", "problems"),
    [
        (
            "import mmap; code = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 7)",
            ["its process had ended"],
        ),
        ("pass", []),
    ],
)
def test_code_made_at_run_time_may_have_had_names_when_its_process_has_ended(
    written: Written, processes: Processes, line: str, problems: list[str]
) -> None:
    with running(sys.executable, "-c", CHILD) as child:
        tell(child, line)
        key = key_of(child.pid)
        processes.record(key, 0)
    processes.write_jit_maps(9)
    maps = [record for record in written.records if isinstance(record, JitMap)]
    assert maps == [JitMap(*key, 9, 0, b"", problem) for problem in problems]


@pytest.mark.parametrize(("others", "kept"), [(4095, True), (4096, False)])
def test_no_more_than_4096_processes_are_known(written: Written, processes: Processes, others: int, kept: bool) -> None:
    with running("sleep", "60") as child:
        key = key_of(child.pid)
        until("sleep", child.pid)
        processes.announce(key, 0)
        for number in range(others):
            processes.announce((child.pid, number), 0)  # processes that had this pid before
    processes.record(key, 1)
    (process,) = written.processes()
    assert (process.problem == "") is kept
    assert processes.gone == (not kept)


def test_maps_beyond_the_room_for_them_are_forgotten_those_that_were_used_first(
    written: Written, processes: Processes, child: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(sys.executable, "-c", CHILD) as other:
        tell(other, "pass")
        room = max(len(Path(f"/proc/{pid}/maps").read_bytes()) for pid in (child.pid, other.pid))
        monkeypatch.setattr("httprec.tuning.MAX_KNOWN_MAPS_BYTES", room + 100)
        processes.announce(key_of(child.pid), 1)
        processes.announce(key_of(other.pid), 2)
    processes.record(key_of(child.pid), 3)
    assert [process.taken_ns for process in written.processes()] == [3]  # read again, since it was forgotten


def test_processes_beyond_the_limit_of_a_capture_are_counted(child: subprocess.Popen[str]) -> None:
    class Full(Written):
        def process(self, process: Process) -> None:
            raise BeyondLimitError

    full = Full()
    processes = Processes(full, Modules(full, 0))

    processes.record(key_of(child.pid), 1)
    processes.record(key_of(child.pid), 2)

    assert processes.left_out == 1, "one record was tried"
