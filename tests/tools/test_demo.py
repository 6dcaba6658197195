"""Check that `make demo` works wherever root clones: the folder may have any name and be accessible to root only."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import pytest

import demo

CAPTURE = Path(__file__).parents[1] / "reporter" / "data" / "python_http.cap"
CLONER = 12345  # the user whom the clone belongs to


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the demo's output folder, in a clone below a folder that only root may enter."""
    if os.geteuid() != 0:
        pytest.skip("not root: cannot become another user")
    clone = tmp_path / "root's home" / "a clone"
    clone.mkdir(parents=True)
    os.chown(clone, CLONER, CLONER)
    clone.parent.chmod(0o700)
    monkeypatch.setattr(demo, "ROOT", clone)
    monkeypatch.setattr(demo, "OUT", clone / "build" / "demo")
    return demo.OUT


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in (folder, *folder.iterdir())}


def test_an_ordinary_user_reports_where_only_root_gets(out: Path) -> None:
    for _ in range(2):  # the second time, there is what the first has left
        with demo.own_folder():
            assert os.listdir(out) == []
            shutil.copy(CAPTURE, out / "run.cap")
            nobody = pwd.getpwnam("nobody")
            demo.report(nobody, ["-t", "300"])
            demo.report(nobody, demo.PAGE)
            assert owners(out) == {nobody.pw_uid}
        assert sorted(os.listdir(out)) == ["report.html", "run.cap", "stack_traces.txt", "stacks.folded"]
        assert owners(out) == owners(out.parent) == {CLONER}


def test_two_runs_do_not_share_a_folder(out: Path) -> None:
    with demo.own_folder():
        (out / "run.cap").touch()
        with (
            pytest.raises(OSError, match=r"another make demo writes to .*: wait until it has ended"),
            demo.own_folder(),
        ):
            pass
        assert os.listdir(out) == ["run.cap"]


def test_what_a_run_that_fails_has_left_belongs_to_whoever_cloned(out: Path) -> None:
    with pytest.raises(RuntimeError), demo.own_folder():
        (out / "run.cap").touch()
        raise RuntimeError
    assert owners(out) == {CLONER}
