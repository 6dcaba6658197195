"""Check that the capture is a new file that only its owner can read, and that no existing file is overwritten, followed
or lost by accident."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from httprec.errors import RecorderError
from httprec.output import check_output, open_output, remove


@pytest.fixture(autouse=True)
def nobody_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.delenv("SUDO_GID", raising=False)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MiB and yield its folder."""
    if os.geteuid() != 0:
        pytest.skip("not root: cannot mount a small file system")
    folder = tmp_path / "tiny"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def write(path: Path, *, replace: bool = False, content: bytes = b"capture") -> None:
    check_output(str(path), replace=replace)
    with open_output(str(path), replace=replace) as stream:
        stream.write(content)


def test_a_capture_is_a_new_file_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    mask = os.umask(0)
    try:
        write(path)
    finally:
        os.umask(mask)
    assert path.read_bytes() == b"capture"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_uid == os.geteuid()


def test_what_is_written_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    with open_output(str(path), replace=False) as stream:
        stream.write(b"first")
        assert path.read_bytes() == b"first"


def test_checking_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    check_output(str(path), replace=False)
    assert not path.exists()
    path.write_bytes(b"old")
    check_output(str(path), replace=True)
    assert path.read_bytes() == b"old"


def test_a_file_that_is_there_is_replaced_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    path.write_bytes(b"old")
    path.chmod(0o644)
    inode, link = path.stat().st_ino, tmp_path / "link"
    os.link(path, link)
    with pytest.raises(RecorderError, match=r"run\.cap exists: give -f to replace it, or choose another -o FILE"):
        write(path)
    assert path.read_bytes() == b"old" and path.stat().st_ino == inode
    write(path, replace=True)
    assert path.read_bytes() == b"capture" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert link.read_bytes() == b"old"


def test_a_file_that_came_after_the_check_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "run.cap"
    check_output(str(path), replace=False)
    path.write_bytes(b"of somebody else")
    with pytest.raises(RecorderError, match="exists"):
        open_output(str(path), replace=False)
    assert path.read_bytes() == b"of somebody else"


@pytest.mark.parametrize("exists", [True, False], ids=["target", "dangling"])
@pytest.mark.parametrize("replace", [True, False], ids=["-f", "no -f"])
def test_a_symlink_is_refused(tmp_path: Path, exists: bool, replace: bool) -> None:
    target, link = tmp_path / "target", tmp_path / "run.cap"
    if exists:
        target.write_bytes(b"precious")
    link.symlink_to(target)
    with pytest.raises(RecorderError, match="choose another -o FILE"):
        write(link, replace=replace)
    assert link.is_symlink() and target.exists() is exists
    assert not exists or target.read_bytes() == b"precious"


@pytest.mark.parametrize("replace", [True, False], ids=["-f", "no -f"])
def test_a_symlink_that_came_after_the_check_is_neither_followed_nor_replaced(tmp_path: Path, replace: bool) -> None:
    target, link = tmp_path / "target", tmp_path / "run.cap"
    check_output(str(link), replace=replace)
    target.write_bytes(b"precious")
    link.symlink_to(target)
    with pytest.raises(RecorderError, match="choose another -o FILE"):
        open_output(str(link), replace=replace)
    assert link.is_symlink() and target.read_bytes() == b"precious"


@pytest.mark.parametrize("replace", [True, False], ids=["-f", "no -f"])
@pytest.mark.parametrize(
    "make",
    [os.mkdir, os.mkfifo, lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))],
    ids=["folder", "pipe", "device"],
)
def test_only_files_are_replaced(tmp_path: Path, make: Callable[[Path], None], replace: bool) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: cannot make a device")
    path = tmp_path / "run.cap"
    make(path)
    before = path.lstat()
    with pytest.raises(RecorderError, match=r"run\.cap is not a regular file: -f replaces only files"):
        write(path, replace=replace)
    with pytest.raises(RecorderError, match=r"run\.cap"):
        open_output(str(path), replace=replace)  # as if it had come since the check
    with pytest.raises(RecorderError, match=r"cannot remove .*run\.cap: it is not a regular file; choose another"):
        remove(str(path))
    assert path.lstat() == before


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecorderError, match=r"cannot write into .*missing: it is missing or not writable; choose"):
        write(tmp_path / "missing" / "run.cap")
    assert not (tmp_path / "missing").exists()


def test_a_folder_that_has_gone_since_the_check_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecorderError, match=r"cannot create .*: No such file or directory; choose another -o FILE"):
        open_output(str(tmp_path / "missing" / "run.cap"), replace=False)


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"")
    program.chmod(0o755)
    with pytest.raises(RecorderError, match="program"):
        write(program / "run.cap")


def test_too_little_space_is_said_before_anything_is_created(tiny: Path) -> None:
    with pytest.raises(RecorderError, match=r"tiny has \d MiB free, a recording needs 16: free some space or choose"):
        write(tiny / "run.cap")
    assert not os.listdir(tiny)


def test_the_capture_belongs_to_the_user_behind_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: cannot give a file away")
    monkeypatch.setenv("SUDO_UID", "12345")
    monkeypatch.setenv("SUDO_GID", "54321")
    path = tmp_path / "run.cap"
    write(path)
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 54321, 0o600)


@pytest.mark.parametrize(("uid", "gid"), [("", ""), ("root", "0"), ("12345", None)])
def test_a_sudo_that_names_nobody_leaves_the_capture_to_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: str, gid: str | None
) -> None:
    monkeypatch.setenv("SUDO_UID", uid)
    if gid is not None:
        monkeypatch.setenv("SUDO_GID", gid)
    path = tmp_path / "run.cap"
    write(path)
    assert path.stat().st_uid == os.geteuid()


def test_a_file_system_without_owners_is_good_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT has no owners, and NFS may not let root change them."""

    def refuse(fd: int, uid: int, gid: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setenv("SUDO_UID", "12345")
    monkeypatch.setenv("SUDO_GID", "54321")
    path = tmp_path / "run.cap"
    try:
        write(path)
    except RecorderError:
        assert not path.exists()
    else:
        assert path.read_bytes() == b"capture"
