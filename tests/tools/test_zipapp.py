"""Check that httprec.pyz is httprec in one file: it uses no other file of ours and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import httpbpf
from httprec import __version__
from make_zipapp import make
from support.source import ROOT

# What make_zipapp.py has as its first line, but with a Python that has the dependencies wherever the tests run.
ISOLATED = [sys.executable, "-I"]
PRINT_FILES = """
import sys
sys.path.insert(0, sys.argv[1])
from httprec import main
for name, module in sorted(sys.modules.items()):
    if name.startswith("http") and name.split(".")[0] != "http":
        print(module.__file__)
"""


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("pyz") / "httprec.pyz")


def run(*command: str, temporary: Path) -> str:
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.run(command, check=False, env=environment, capture_output=True, text=True).stdout


def test_it_runs_by_itself_with_debians_python(pyz: Path, tmp_path: Path) -> None:
    assert os.access(pyz, os.X_OK)
    assert pyz.read_bytes().startswith(b"#!/usr/bin/python3 -I\n")
    assert run(*ISOLATED, str(pyz), "--version", temporary=tmp_path) == f"httprec {__version__}\n"


def test_all_of_it_comes_from_the_file(pyz: Path, tmp_path: Path) -> None:
    files = run(*ISOLATED, "-c", PRINT_FILES, str(pyz), temporary=tmp_path).splitlines()
    assert len(files) > 20
    assert not [file for file in files if not file.startswith(f"{pyz}/")]


def test_the_program_compiles_from_it_and_its_kernel_tree_is_gone_afterwards(pyz: Path, tmp_path: Path) -> None:
    """A compiler error would appear in one of these rows, whatever the kernel says about the program afterwards."""
    table = run(*ISOLATED, str(pyz), "--check", temporary=tmp_path)
    rows = {line[:17].rstrip(): line[18:] for line in table.splitlines()}
    if rows["root"].startswith("no"):
        pytest.skip("not root: nothing is compiled")
    assert rows["kernel functions"].startswith("ok")
    assert rows["fexit"].startswith("ok") or "not permitted" in rows["fexit"], table
    assert not os.listdir(tmp_path)


def test_it_has_the_kernel_tree_and_both_licences(pyz: Path) -> None:
    with zipfile.ZipFile(pyz) as archive:
        names = set(archive.namelist())
        assert archive.read("LICENSES/GPL-2.0-only.txt") == (ROOT / "LICENSES" / "GPL-2.0-only.txt").read_bytes()
    assert "LICENSE" in names
    tree = Path(httpbpf.__file__ or "").with_name("kernel")
    assert {f"httpbpf/{path.relative_to(tree.parent)}" for path in tree.rglob("*.h")} <= names
