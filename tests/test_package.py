"""Check that the installed wheel has every file of the source tree that it needs, and no other."""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

from httpcapture.version import __version__
from support.source import PACKAGES, ROOT, modules

VENDOR = ROOT / "reporter" / "httpreport" / "outputs" / "page" / "vendor"


def vendored(pattern: str) -> list[str]:
    """Return the files of the page's libraries, by their paths in the tree."""
    return [str(path.relative_to(ROOT)) for path in VENDOR.glob(pattern)]


@pytest.fixture(scope="module")
def installed() -> metadata.Distribution:
    try:
        found = metadata.distribution("httprec")
    except metadata.PackageNotFoundError:
        pytest.fail("httprec is not installed, and the tests are about its wheel: make test")
    return found


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder.parent)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_has_the_files_of_the_source_tree(installed: metadata.Distribution, package: str) -> None:
    wheel = {str(file) for file in installed.files or () if file.parts[0] == package and file.suffix != ".pyc"}
    source = {file for file in files_in(PACKAGES[package]) if not file.endswith(".pyc")}
    assert wheel == source


def test_the_wheel_has_the_bpf_program_and_its_kernel_tree(installed: metadata.Distribution) -> None:
    wheel = {str(file) for file in installed.files or ()}
    assert {"httpbpf/probes.c", "httpbpf/rows.h", "httpbpf/kernel/include/linux/kconfig.h"} <= wheel


@pytest.mark.parametrize("package", PACKAGES)
def test_the_tests_run_what_is_installed(installed: metadata.Distribution, package: str) -> None:
    assert import_module(package).__file__ == str(installed.locate_file(f"{package}/__init__.py"))


def test_the_two_commands_are_there_and_tell_the_version(installed: metadata.Distribution) -> None:
    scripts = {script.name for script in installed.entry_points if script.group == "console_scripts"}
    assert scripts == {"httprec", "httpreport"}
    for name in scripts:
        command = Path(sys.executable).with_name(name)
        said = subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout
        assert said == f"{name} {installed.version}\n"


def test_the_version_stands_once(installed: metadata.Distribution) -> None:
    keepers = [path for name in PACKAGES for path in modules(name) if "__version__ = " in path.read_text()]
    assert keepers == [PACKAGES["httpcapture"] / "version.py"]
    assert installed.version == __version__


def test_bcc_is_no_requirement_since_the_index_has_another_package_of_that_name(
    installed: metadata.Distribution,
) -> None:
    required = {re.split(r"[^\w-]", text)[0] for text in installed.requires or ()}
    assert "click" in required
    assert "bcc" not in required


def test_each_c_file_is_under_the_gpl_and_the_wheel_has_all_licences(installed: metadata.Distribution) -> None:
    for path in PACKAGES["httpbpf"].rglob("*.[ch]"):
        assert path.read_text().startswith("/* SPDX-License-Identifier: GPL-2.0-only */\n"), path
    assert installed.metadata["License-Expression"] == "MIT AND GPL-2.0-only AND Apache-2.0 AND ISC"
    licences = {str(file).partition("licenses/")[2]: file for file in installed.files or () if "licenses/" in str(file)}
    assert {name: file.read_text() for name, file in licences.items()} == {
        name: (ROOT / name).read_text() for name in ("LICENSE", "LICENSES/GPL-2.0-only.txt", *vendored("*.LICENSE"))
    }


def test_the_libraries_of_the_page_are_as_they_were_published() -> None:
    lines = (VENDOR / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {Path(name).name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in vendored("*.*")}
    assert files == sums


@pytest.mark.parametrize("package", PACKAGES)
def test_the_code_is_python_3_9(installed: metadata.Distribution, package: str) -> None:
    assert installed.metadata["Requires-Python"] == ">=3.9"
    for path in modules(package):
        ast.parse(path.read_bytes(), path, feature_version=(3, 9))
