"""Check where outputs go: new files, regular files that -f replaces, or standard output. No other file is lost."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from httpreport.cli.atomic_files import Target
from httpreport.common.errors import ReportError
from httpreport.outputs.output import Destination
from httpreport.outputs.registry import outputs_to
from support.command_line import run
from support.pseudo_terminal import on_terminal
from support.recordings import MS, TEXT, Row, capture, process, stack


@pytest.fixture
def run_cap(tmp_path: Path) -> Path:
    path = tmp_path / "run.cap"
    path.write_bytes(capture([Row(), Row(sequence=1, duration_ns=400 * MS)], [process(), stack(TEXT)]))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


OF_A_FOLDER = {"stack_traces.txt": [], "stacks.folded": [], "stacks.diff.folded": ["--baseline"]}
OF_A_FILE = [*(output.option for output in outputs_to(Destination.FILE)), "--redact"]
OUTPUTS = [*OF_A_FOLDER, *OF_A_FILE]


def arguments_for(output: str, capture: Path, folder: Path) -> tuple[Path, list[str | Path]]:
    """Return the path of one output in the folder, and the arguments that write it."""
    if output in OF_A_FOLDER:
        baseline = [capture] * len(OF_A_FOLDER[output])
        return folder / output, [capture, "-o", folder, *OF_A_FOLDER[output], *baseline]
    return folder / "written", [capture, output, folder / "written"]


NOBODY = 65534


def test_a_file_is_written_in_a_working_directory_whose_parents_are_closed(tmp_path: Path) -> None:
    """This happens to a user whom root starts in its own home."""
    closed = tmp_path / "closed"
    inner = closed / "inner"
    inner.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(inner, NOBODY, NOBODY)
    child = os.fork()
    if not child:
        try:
            os.chdir(inner)
            closed.chmod(0)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            Target("run.svg", "--svg").write([b"new"])
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    closed.chmod(0o700)
    assert (os.waitstatus_to_exitcode(status), os.listdir(inner)) == (0, ["run.svg"])
    assert (inner / "run.svg").read_bytes() == b"new"


def test_a_file_may_have_the_longest_name(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    Target(str(path), "--svg").write([b"new"])
    assert path.read_bytes() == b"new"


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def make_device(path: Path) -> None:
    """Create a device that accepts everything, like /dev/null."""
    if os.geteuid() != 0:
        pytest.skip("not root: cannot make a device")
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def identity(path: Path) -> tuple[int, ...]:
    """Return what kind of file this is and when it was created or changed, but not when it was read."""
    status = path.lstat()
    return status.st_ino, status.st_mode, status.st_rdev, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def link_to_a_file(path: Path) -> None:
    (path.parent.parent / "precious").write_text("precious")
    path.symlink_to(path.parent.parent / "precious")


KINDS: dict[str, Callable[[Path], None]] = {
    "a directory": Path.mkdir,
    "a named pipe": os.mkfifo,
    "a socket": make_socket,
    "a device": make_device,
    "a symbolic link": link_to_a_file,
    "a symbolic link that leads nowhere": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("force", [["-f"], []], ids=["-f", "no -f"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_only_regular_files_are_replaced(output: str, kind: str, force: list[str], run_cap: Path, out: Path) -> None:
    path, arguments = arguments_for(output, run_cap, out)
    KINDS[kind](path)
    before = identity(path)

    result = run(*arguments, *force)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"httpreport: {path} is {kind.removesuffix(' that leads nowhere')}, and only ")
    assert result.stderr.count("\n") == 1
    assert (identity(path), os.listdir(out)) == (before, [path.name])
    assert kind != "a symbolic link" or (out.parent / "precious").read_text() == "precious"


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_regular_file_is_replaced_on_request_only(output: str, run_cap: Path, out: Path) -> None:
    path, arguments = arguments_for(output, run_cap, out)
    path.write_text("mine")
    other_name = out.parent / "link"
    os.link(path, other_name)

    refused = run(*arguments)

    assert (refused.exit_code, refused.stderr.count("\n"), path.read_text()) == (1, 1, "mine")
    assert f"{path} exists: use -f to replace it" in refused.stderr
    assert run(*arguments, "-f").exit_code == 0
    assert path.read_text("latin-1") != "mine"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert other_name.read_text() == "mine"


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("kind", [*KINDS, "a regular file"])
def test_what_came_while_the_output_was_written_stays(kind: str, force: bool, out: Path) -> None:
    path = out / "written"

    def pieces() -> Iterator[bytes]:
        yield b"new"
        KINDS.get(kind, lambda path: path.write_text("old"))(path)

    target = Target(str(path), "--csv", force)
    target.check()
    if kind == "a regular file" and force:
        target.write(pieces())
        assert path.read_text() == "new"
    else:
        with pytest.raises(ReportError, match="choose another place with --csv"):
            target.write(pieces())
        assert kind != "a regular file" or path.read_text() == "old"
    assert os.listdir(out) == ["written"]


@pytest.mark.parametrize("option", [output.option for output in outputs_to(Destination.FILE)])
def test_a_dash_is_standard_output_and_the_summary_goes_to_standard_error(
    option: str, run_cap: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(out)
    to_file = run(run_cap, option, "written")

    result = run(run_cap, option, "-")

    assert result.exit_code == 0, result.output
    assert result.stdout_bytes == Path("written").read_bytes()
    assert result.stderr == to_file.stdout.removesuffix("wrote written\n")
    assert os.listdir(out) == ["written"]


@pytest.mark.parametrize("option", [output.option for output in outputs_to(Destination.FILE, of_comparison=True)])
def test_a_dash_is_standard_output_for_a_comparison_too(option: str, run_cap: Path, out: Path) -> None:
    run(run_cap, option, out / "written", "--baseline", run_cap)

    result = run(run_cap, option, "-", "--baseline", run_cap, "-o", out)

    assert result.stdout_bytes == (out / "written").read_bytes()
    assert "time waited: " in result.stderr
    assert f"wrote {out}/stacks.diff.folded" in result.stderr


def test_other_outputs_are_written_beside_the_one_on_standard_output(run_cap: Path, out: Path) -> None:
    result = run(run_cap, "--csv", "-", "--svg", out / "run.svg", "-o", out)

    assert sorted(os.listdir(out)) == ["run.svg", "stack_traces.txt", "stacks.folded"]
    assert result.stdout.startswith("host,capture,start,")
    assert f"wrote {out}/stack_traces.txt and {out}/stacks.folded\n" in result.stderr
    assert f"wrote {out}/run.svg\n" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--csv", "-", "--html", "-"], "Only one of --html, --csv can go to standard output."),
        (["--json", "--svg", "-"], "Only one of --json, --svg can go to standard output."),
        (["-o", "-"], "-o takes a directory."),
        (["--info", "--csv", "-"], "--info and --verify make no report: leave out the options for outputs."),
        (["--verify", "-o", "there"], "--info and --verify make no report: leave out the options for outputs."),
        (["--verify", "--json"], "--info and --verify make no report: leave out the options for outputs."),
    ],
)
def test_outputs_that_exclude_each_other_are_a_usage_error(
    arguments: list[str], said: str, run_cap: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(out)

    result = run(run_cap, *arguments)

    assert (result.exit_code, result.stdout, os.listdir(out)) == (2, "", [])
    assert said in result.stderr


@pytest.mark.parametrize("option", ["--pprof", "--redact"])
def test_binary_output_is_not_for_a_terminal(option: str, run_cap: Path) -> None:
    seen = on_terminal([sys.executable, "-m", "httpreport", str(run_cap), option, "-"], {}, status=1)

    assert seen.decode().strip() == (
        f"httpreport: {option} - would write binary data to the terminal: redirect it to a file or a pipe"
    )


def test_text_may_go_to_a_terminal(run_cap: Path) -> None:
    seen = on_terminal([sys.executable, "-m", "httpreport", str(run_cap), "--csv", "-"], {})

    assert seen.startswith(b"host,capture,start,")


@pytest.mark.parametrize("output", OF_A_FILE)
def test_the_capture_itself_is_no_place_for_an_output(output: str, run_cap: Path) -> None:
    data = run_cap.read_bytes()
    other_name = run_cap.parent / "link.cap"
    os.link(run_cap, other_name)

    result = run(run_cap, output, other_name, "-f")

    assert result.exit_code == 1
    assert f"{other_name} is the capture {run_cap}, which is to be read" in result.stderr
    assert run_cap.read_bytes() == other_name.read_bytes() == data


def test_a_baseline_is_no_place_for_an_output_either(run_cap: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.cap"
    before.write_bytes(run_cap.read_bytes())

    assert run(run_cap, "--baseline", before, "--svg", before, "-f").exit_code == 1
    assert before.read_bytes() == run_cap.read_bytes()


def test_two_outputs_have_two_places(run_cap: Path, out: Path) -> None:
    (out / "loop").symlink_to(out)

    for arguments in (
        ("--svg", out / "x", "--csv", out / "loop" / "x"),
        ("-o", out, "--html", out / "stacks.folded"),
    ):
        result = run(run_cap, *arguments, "-f")
        assert (result.exit_code, os.listdir(out)) == (1, ["loop"])
        assert "both write" in result.stderr
