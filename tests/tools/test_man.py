"""Check that man pages and completions give the options of --help, and that man(1) and the shells accept them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from make_man import COMMANDS, SHELLS, make

COMMAND = pytest.mark.parametrize("command", COMMANDS)
# Prints what bash offers for the words of a command line, the last of which is to be completed.
COMPLETE = """
set -e
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { :; }  # there is none where nobody types
"_$2_completion" "$2"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("share")
    make(folder)
    return folder


def options_of_help(command: str) -> list[str]:
    program = Path(sys.executable).with_name(command)
    said = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
    return re.findall(r"^  (-\S+(?:,? \S+)*)", said, re.MULTILINE)


def words(text: str) -> str:
    return " ".join(text.split())


@COMMAND
def test_a_man_page_has_the_options_of_help(folder: Path, command: str) -> None:
    page = (folder / "man1" / f"{command}.1").read_text()
    shown = [re.sub(r"\\fB|\\fP|\\(?=-)", "", line) for line in re.findall(r"^\.TP\n(.+)", page, re.MULTILINE)]
    expected = [option for option in options_of_help(command) if "--help" not in option]  # which a man page is
    assert [words(option) for option in shown] == expected


@COMMAND
def test_a_man_page_is_taken_without_a_warning(folder: Path, command: str) -> None:
    if not shutil.which("groff"):
        pytest.skip("no groff: apt install groff-base")
    page = folder / "man1" / f"{command}.1"
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page], check=True, capture_output=True, text=True)
    assert done.stderr == ""


@COMMAND
def test_a_page_and_each_shells_completion_are_made(folder: Path, command: str) -> None:
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {f"completion/{shell}/{name.format(command)}" for shell, name in SHELLS.items()} <= files
    assert f"man1/{command}.1" in files


@COMMAND
def test_bash_completes_every_long_option(folder: Path, command: str) -> None:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", folder / "completion" / "bash" / command, command, "--"],
        env={**os.environ, "PATH": programs},
        check=True,
        capture_output=True,
        text=True,
    )
    long = {word.rstrip(",") for option in options_of_help(command) for word in option.split() if word[:2] == "--"}
    assert set(done.stdout.split()) == long
