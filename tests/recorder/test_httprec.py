"""Check that httprec reports what it cannot do in one line with the remedy, and leaves no files behind."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from httprec import __version__
from support.commands import HTTPREC, NO_BPF, NOBODY, dependencies, environment, run, with_namespace
from workload.waiting import HANG_S

KPROBES = any(os.path.exists(f"/sys/kernel/{folder}/kprobe_events") for folder in ("tracing", "debug/tracing"))
SHORT = ("-d", "0")


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: cannot make the situations")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Yield the folder in which httprec is started. No file may be left in it."""
    home = tmp_path / "home"
    home.mkdir()
    yield home
    assert not os.listdir(home)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only line that a failure prints."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert re.fullmatch(r"httprec: .+\n", done.stderr), done.stderr
    return done.stderr.strip()


def test_an_ordinary_user_is_refused_in_one_line(folder: Path) -> None:
    assert "only root can" in said(run(folder, "-o", "run.cap", *SHORT, before=NOBODY))


def test_a_missing_bcc_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    """With -S, Python finds only the folders that the tests add, and none of the distribution's packages."""
    path = environment(dependencies(tmp_path / "packages"))
    done = run(folder, "-o", "run.cap", *SHORT, python=[sys.executable, "-S", "-m", "httprec"], variables=path)
    assert said(done) == "httprec: BCC for Python is missing: apt install python3-bpfcc"


def test_the_unrelated_bcc_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "packages" / "bcc").mkdir(parents=True)
    (tmp_path / "packages" / "bcc" / "__init__.py").write_text("class Lattice: ...\n")
    line = said(run(folder, "-o", "run.cap", *SHORT, variables=environment(tmp_path / "packages")))
    assert f"{tmp_path}/packages/bcc is PyPI's" in line
    assert "pip uninstall bcc; apt install python3-bpfcc" in line


def test_a_folder_that_is_called_bcc(folder: Path, tmp_path: Path) -> None:
    packages = dependencies(tmp_path / "packages")
    (packages / "bcc").mkdir()
    python = [sys.executable, "-S", "-m", "httprec"]
    line = said(run(folder, "-o", "run.cap", *SHORT, python=python, variables=environment(packages)))
    assert "apt install python3-bpfcc" in line


def test_a_kernel_with_or_without_probes(folder: Path) -> None:
    """The running kernel decides: if it takes probes, a recording of no time succeeds."""
    done = run(folder, "-o", "run.cap", "--probes", "kprobe", *SHORT)
    if KPROBES:
        assert done.returncode == 0, done.stderr
        (folder / "run.cap").unlink()
    else:
        assert "kprobe: the kernel was built without CONFIG_KPROBES, or tracefs is not mounted" in said(done)


@pytest.mark.parametrize("probes", ["fexit", "auto"])
def test_probes_that_are_not_permitted(folder: Path, probes: str) -> None:
    line = said(run(folder, "-o", "run.cap", "--probes", probes, *SHORT, before=NO_BPF))
    assert "this kernel takes no probes: fexit: not permitted; the kernel is locked down, or CAP_BPF and" in line


def test_a_locked_down_kernel_is_refused_in_one_line(folder: Path) -> None:
    setup = (
        "mount -t tmpfs none /sys/kernel/security; "
        "echo 'none integrity [confidentiality]' >/sys/kernel/security/lockdown"
    )
    line = said(run(folder, "-o", "run.cap", *SHORT, before=with_namespace(setup)))
    assert "locked down (confidentiality)" in line and "boot it without lockdown=confidentiality" in line


def test_no_type_information(folder: Path) -> None:
    line = said(run(folder, "-o", "run.cap", *SHORT, before=with_namespace("mount -t tmpfs none /sys/kernel/btf")))
    assert "/sys/kernel/btf/vmlinux" in line and "CONFIG_DEBUG_INFO_BTF=y" in line


def test_a_container_is_refused_in_one_line(folder: Path) -> None:
    line = said(run(folder, "-o", "run.cap", *SHORT, before=["unshare", "--pid", "--fork", "--mount-proc"]))
    assert "container's pid namespace: start it on the host (docker: --pid=host)" in line


def test_all_that_is_missing_is_said_at_once(folder: Path) -> None:
    before = with_namespace(f'mount -t tmpfs none /sys/kernel/btf; exec {" ".join(NOBODY)} "$@"')
    done = run(folder, "-o", "run.cap", *SHORT, before=before)
    assert done.returncode == 1
    assert re.fullmatch(r"httprec: .*root.*\nhttprec: .*CONFIG_DEBUG_INFO_BTF.*\n", done.stderr), done.stderr


def test_an_output_that_exists_is_kept(tmp_path: Path) -> None:
    (tmp_path / "run.cap").write_bytes(b"old")
    line = said(run(tmp_path, "-o", "run.cap", *SHORT))
    assert line == "httprec: run.cap exists: give -f to replace it, or choose another -o FILE"
    assert os.listdir(tmp_path) == ["run.cap"] and (tmp_path / "run.cap").read_bytes() == b"old"


def test_an_output_is_kept_with_f_too_when_the_recording_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "run.cap").write_bytes(b"old")
    said(run(tmp_path, "-o", "run.cap", "-f", *SHORT, before=NO_BPF))
    assert (tmp_path / "run.cap").read_bytes() == b"old"


@pytest.mark.parametrize("path", ["missing/run.cap", "/proc/run.cap", "/sys/kernel/run.cap"])
def test_an_output_that_cannot_be_written(folder: Path, path: str) -> None:
    line = said(run(folder, "-o", path, *SHORT))
    assert os.path.dirname(path) in line and "choose another -o FILE" in line


def test_a_full_disk_is_refused_in_one_line(folder: Path) -> None:
    before = with_namespace(f"mount -t tmpfs -o size=1m none {folder}; cd {folder}")
    assert re.search(r"has \d MiB free.*free some space", said(run(folder, "-o", "run.cap", *SHORT, before=before)))


def test_a_terminal_gets_no_capture(folder: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*HTTPREC, "-o", "-", *SHORT],
        cwd=folder,
        env=environment(),
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    os.close(theirs)
    with pytest.raises(OSError, match="Input/output error"):  # nothing was written to it, and nobody has it open
        os.read(ours, 1)
    os.close(ours)
    assert done.returncode == 1
    assert re.fullmatch(r"httprec: -o - would write the capture to the terminal: redirect it.*\n", done.stderr)


def test_filters_that_are_too_many(folder: Path) -> None:
    line = said(run(folder, "-o", "run.cap", "-p", "*a" + "?" * 12, *SHORT))
    assert line == "httprec: the -p patterns are too many or too long: give fewer, or one with *"


def test_a_long_name_is_cut_as_the_kernel_does(folder: Path) -> None:
    done = run(folder, "-o", "run.cap", "-p", "neutron-openvswitch-agent", "-p", "nova", *SHORT, before=NO_BPF)
    first, *rest = done.stderr.splitlines()
    assert first == "httprec: the kernel keeps 15 bytes of a name: -p neutron-openvsw"
    assert len(rest) == 1 and done.returncode == 1


def test_patterns_and_names_that_fit_are_taken_as_they_are(folder: Path) -> None:
    names = ("fifteen-bytes-.", "very-long-pattern-*", "[abcdefghijklmnop]", "?" * 16)
    options = [option for name in names for option in ("-p", name)]
    assert "15 bytes" not in said(run(folder, "-o", "run.cap", *options, *SHORT, before=NO_BPF))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("-o",),
        ("-o", "run.cap", "extra"),
        ("-o", "run.cap", "-t", "-1"),
        ("-o", "run.cap", "-t", "soon"),
        ("-o", "run.cap", "-t", "nan"),
        ("-o", "run.cap", "-t", "inf"),
        ("-o", "run.cap", "-t", "1e300"),
        ("-o", "run.cap", "-d", "-1"),
        ("-o", "run.cap", "-d", "nan"),
        ("-o", "run.cap", "--max-size", "0"),
        ("-o", "run.cap", "--rotate-size", "0"),
        ("-o", "run.cap", "--rotate-time", "0.5"),
        ("-o", "run.cap", "--rotate-time", "nan"),
        ("-o", "run.cap", "--rotate-time", "9", "--rotate-keep", "1"),
        ("-o", "run.cap", "--rotate-keep", "2"),
        ("-o", "-", "--rotate-time", "9"),
        ("-o", "run.cap", "--call-ring", "5"),
        ("-o", "run.cap", "--stack-ring", "2"),
        ("-o", "run.cap", "--stack-ring", "16"),
        ("-o", "run.cap", "--connections", "0"),
        ("-o", "run.cap", "--threads", "x"),
        ("-o", "run.cap", "--probes", "uprobe"),
        ("-o", "run.cap", "--no-such-option"),
    ],
    ids=" ".join,
)
def test_usage_errors(folder: Path, arguments: tuple[str, ...]) -> None:
    done = run(folder, *arguments, before=NO_BPF)
    assert done.returncode == 2, done.stderr
    assert re.search(r"^Error: .+$", done.stderr, re.MULTILINE) and "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version(folder: Path, option: str) -> None:
    done = run(folder, option, before=NOBODY)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"httprec {__version__}\n", "")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_needs_neither_root_nor_probes(folder: Path, option: str) -> None:
    done = run(folder, option, before=NOBODY)
    assert done.returncode == 0 and done.stdout.startswith("Usage: httprec ")
    assert all(
        option in done.stdout for option in ("-o FILE", "-t MS", "-p NAME", "-d SECONDS", "-f", "-q", "-v", "-V")
    )
