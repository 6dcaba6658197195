"""Check that no output is broken by names: a reader of its format gets each name back as text, without control
characters, escapes or bidi marks, and with no more lines or fields than harmless names give.

A new output is tested once it has a line in OUTPUTS.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest
from click.testing import CliRunner

from httpcapture.printable import LONGEST
from httpreport.cli.main import main
from httpreport.outputs import terminal
from support.browser import CHROMIUM, DRIVER, Browser
from support.firefox_profiler import tracks
from support.hostile import HARMLESS, HOSTILE, build, hostile_capture
from support.live import own_cache  # noqa: F401 (a fixture)
from support.pseudo_terminal import on_terminal
from support.reports import VALIDATOR

# A capture's name
FILE = b"\x1b[31m\n;\xff\xe2\x80\xae<b>=1.cap"
FILE_SHOWN = r"\x1b[31m\x0a;\udcff\u202e<b>=1.cap"
IN_BROWSER = pytest.mark.skipif(
    not (shutil.which(CHROMIUM) and shutil.which(DRIVER)), reason="chromium and chromium-driver are not installed"
)


class Output(NamedTuple):
    """Describe an output. `arguments` ask for it, with "{}" for a folder and "{capture}" for the capture; `file` in
    that folder is read, or standard output if it is PRINTED. `read` returns all texts that a reader of the format
    finds. Each name is one of them if the format has `fields`, else a part of one, as `shown`."""

    arguments: Sequence[str]
    file: str
    read: Callable[[Path], Iterable[str]]
    fields: bool = True
    shown: Callable[[str], str] = str


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\n")


def strings(value: Any) -> Iterator[str]:
    """Yield every text in a JSON document, including names of fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for one in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from strings(one)


def in_json(path: Path) -> Iterator[str]:
    return strings(json.loads(path.read_text(encoding="ascii")))


def in_report(path: Path) -> Iterator[str]:
    VALIDATOR.validate(json.loads(path.read_bytes()))
    return in_json(path)


def in_svg(path: Path) -> Iterator[str]:
    for element in ET.parse(path).iter():
        yield from (element.text or "").split("\n")


def in_pprof(path: Path) -> list[str]:
    command = [shutil.which("go") or "go", "tool", "pprof", "-raw", str(path)]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.split("\n")


def in_firefox(path: Path) -> Iterator[str]:
    yield from in_json(path)
    for track in tracks(path):
        yield from (track.process, *(name for stack, _ in track.stacks for name in stack))


def in_csv(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [*csv.reader(file)]
    assert len(rows) == 1 + len(HOSTILE)
    for row in rows:
        assert len(row) == len(rows[0])
        assert not [value for value in row if value.startswith(("=", "+", "-", "@", "\t", "\r"))]
        yield from row


def frame(shown: str) -> str:
    """Return the name as a frame of a folded stack shows it."""
    return shown.replace(";", ":").replace("12 34", "12_34")


def cell(shown: str) -> str:
    """Return the name as a cell of a spreadsheet shows it."""
    return f"'{shown}" if shown[0] in "=+-@" else shown


def in_utf8(shown: str) -> str:
    """Return the name as a capture's texts have it; its names, in contrast, are bytes."""
    return "" if shown.startswith(r"\xff") else shown


PRINTED = "printed"
COMPARED = ["--baseline", "{capture}"]
OUTPUTS = {
    "summary": Output(["-o", "{}"], PRINTED, lines, False),
    "stack traces": Output(["-o", "{}"], "stack_traces.txt", lines, False),
    "folded stacks": Output(["-o", "{}"], "stacks.folded", lines, False, frame),
    "json": Output(["--json"], PRINTED, in_report),
    "info": Output(["--info", "-v"], PRINTED, lines, False),
    "verify": Output(["--verify"], PRINTED, lines, False, in_utf8),
    "svg": Output(["--svg", "{}/x"], "x", in_svg),
    "speedscope": Output(["--speedscope", "{}/x"], "x", in_json),
    "pprof": Output(["--pprof", "{}/x"], "x", in_pprof, False),
    "firefox": Output(["--firefox", "{}/x"], "x", in_firefox),
    "csv": Output(["--csv", "{}/x"], "x", in_csv, True, cell),
    "comparison": Output(["-o", "{}", *COMPARED], PRINTED, lines, False),
    "comparison's folded stacks": Output(["-o", "{}", *COMPARED], "stacks.diff.folded", lines, False, frame),
    "comparison's json": Output(["--json", *COMPARED], PRINTED, in_report),
    "comparison's svg": Output(["--svg", "{}/x", *COMPARED], "x", in_svg, True, frame),
}


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return two captures that differ only in their names, hostile and harmless, each beside its binary."""
    paths = {}
    for what, names in (("hostile", HOSTILE), ("harmless", HARMLESS)):
        folder = tmp_path_factory.mktemp(what)
        paths[what] = folder / os.fsdecode(FILE)
        paths[what].write_bytes(hostile_capture(build(folder, names), names))
    return paths


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the terminal so wide that no line of a table is folded."""
    monkeypatch.setattr(terminal, "PLAIN_WIDTH", 100_000)


def written(output: Output, folder: Path, *paths: Path) -> Path:
    """Return the file with an output of captures whose binaries are beside the first."""
    arguments = [
        argument.replace("{}", str(folder)).replace("{capture}", str(paths[-1])) for argument in output.arguments
    ]
    folder.mkdir()
    result = CliRunner().invoke(main, [*map(str, paths), *arguments, "--jobs", "1", "--symfs", str(paths[0].parent)])
    assert result.exit_code == 0, result.output
    assert not hidden(result.stderr)
    (folder / PRINTED).write_bytes(result.stdout_bytes)
    return folder / output.file


def hidden(text: str) -> set[str]:
    """Return the characters of a text that are invisible or move others: controls, escapes, bidi marks, surrogates,
    line separators."""
    return {one for one in text if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}} - {"\n"}


@pytest.mark.parametrize("what", OUTPUTS)
def test_a_hostile_name_is_text(what: str, captures: dict[str, Path], tmp_path: Path) -> None:
    output = OUTPUTS[what]
    path = written(output, tmp_path / "hostile", captures["hostile"])
    texts = [*output.read(path)]

    assert not hidden("\n".join(texts))
    for name in HOSTILE:
        shown = output.shown(name.shown)
        assert shown in (texts if output.fields else "\n".join(texts)), name
    if not output.fields:
        harmless = output.read(written(output, tmp_path / "harmless", captures["harmless"]))
        assert len(texts) == len([*harmless])


@pytest.mark.parametrize("what", ["stack traces", "json", "svg", "speedscope", "pprof", "firefox"])
def test_a_very_long_name_is_cut(what: str, captures: dict[str, Path], tmp_path: Path) -> None:
    text = "\n".join(OUTPUTS[what].read(written(OUTPUTS[what], tmp_path / "out", captures["hostile"])))

    for letter in "LS":
        longest = max(map(len, re.findall(rf"{letter}+", text)))
        assert longest in {LONGEST - 3, LONGEST - 3 - len("/opt/"), LONGEST - 3 - len("/src/")}


@pytest.mark.parametrize("what", ["summary", "stack traces", "folded stacks", "json"])
def test_a_hostile_name_is_text_among_several_captures(what: str, captures: dict[str, Path], tmp_path: Path) -> None:
    output = OUTPUTS[what]
    unreadable = tmp_path / os.fsdecode(FILE)
    unreadable.write_text("no capture")
    paths = [unreadable, *captures.values()]

    texts = [*output.read(written(output, tmp_path / "out", *paths))]

    assert not hidden("\n".join(texts))
    for name in HOSTILE:
        assert output.shown(name.shown) in (texts if output.fields else "\n".join(texts)), name


def test_a_folded_stack_has_as_many_frames_whatever_their_names(captures: dict[str, Path], tmp_path: Path) -> None:
    """flamegraph.pl's own expressions parse the line: its weight, and what it takes for a second weight."""
    frames = {}
    for what, path in captures.items():
        read = [re.fullmatch(r"(.*)\s+?(\d+(?:\.\d*)?)", line) for line in lines(folded(path, tmp_path / what))[:-1]]
        assert all(one and not re.search(r"\s+?\d+(?:\.\d*)?$", one[1]) for one in read)
        frames[what] = sorted((one[2], one[1].count(";")) for one in read if one)

    assert frames["hostile"] == frames["harmless"]
    assert len(frames["hostile"]) == len(HOSTILE)


def folded(path: Path, folder: Path) -> Path:
    return written(OUTPUTS["folded stacks"], folder, path)


def test_a_terminal_gets_no_escape_but_those_for_style(captures: dict[str, Path], tmp_path: Path) -> None:
    shown = {}
    for what, path in captures.items():
        program = [sys.executable, "-m", "httpreport", str(path), "-o", str(tmp_path / what)]
        environment = {"TERM": "xterm-256color", "COLUMNS": "100000", "PYTHONIOENCODING": "utf-8"}
        written_raw = on_terminal(program, environment).decode()
        plain = re.sub("\x1b\\[[0-9;]*m", "", written_raw).replace("\r\n", "\n")
        assert plain != written_raw
        assert not hidden(plain)
        shown[what] = plain

    assert len(shown["hostile"].split("\n")) == len(shown["harmless"].split("\n"))
    assert all(frame(name.shown) in shown["hostile"] for name in HOSTILE)


@pytest.mark.parametrize("options", [["--info"], ["--verify"], ["--json"], ["--svg", "x.svg"], ["-o", "out"]])
def test_a_capture_of_a_hostile_name_that_cannot_be_read_is_one_line(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    unreadable = Path(os.fsdecode(FILE))
    unreadable.write_text("no capture")

    for path in (unreadable, Path("no") / unreadable):
        result = CliRunner().invoke(main, [str(path), *options])

        said = result.stdout + result.stderr
        assert result.exit_code == 1
        assert FILE_SHOWN in said
        assert not hidden(said)
        for line in said.splitlines():
            assert line.startswith(("httpreport: ", "  wrong: ")) or ": damaged: " in line


def test_a_hostile_filter_that_matches_nothing_lists_the_existing_values_on_one_line(
    captures: dict[str, Path], tmp_path: Path
) -> None:
    asked = [option for name in HOSTILE for option in ("-p", f"x{os.fsdecode(name.recorded)}")]

    result = CliRunner().invoke(main, [str(captures["hostile"]), *asked, "-o", str(tmp_path)])

    *warnings, error = result.stderr.removesuffix("\n").split("\n")
    assert all(line.startswith("warning: ") and not hidden(line) for line in warnings)
    assert error.startswith("httpreport: no call of ") and not hidden(error)
    for name in HOSTILE:
        assert f"{name.shown} (1, slowest 2" in error


def test_what_to_type_next_means_the_same_folder_and_has_no_escape(captures: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(FILE)

    printed = written(OUTPUTS["summary"], folder, captures["hostile"]).read_text()

    assert not hidden(printed)
    (command,) = re.findall(r"^next: flamegraph.pl --countname us (.*) > (.*)$", printed, re.MULTILINE)
    said = subprocess.run(["bash", "-c", f"printf '%s\\n' {' '.join(command)}"], check=True, capture_output=True).stdout
    assert said == b"%b/stacks.folded\n%b/stacks.svg\n" % ((os.fsencode(folder),) * 2)


@IN_BROWSER
@pytest.mark.parametrize(("what", "more"), [("html", []), ("svg", []), ("html", COMPARED)])
def test_a_hostile_name_is_text_in_a_browser(
    what: str, more: list[str], captures: dict[str, Path], tmp_path: Path
) -> None:
    output = Output([f"--{what}", f"{{}}/x.{what}", *more], f"x.{what}", lines)
    path = written(output, tmp_path / "out", captures["hostile"])
    assert not hidden("\n".join(lines(path)))
    browser = Browser()
    try:
        browser.driver.get(path.absolute().as_uri())
        if what == "html":
            browser.wait("return document.documentElement.dataset.ready")
        texts = "\n".join(browser.texts("title, td, th, h1, p, li, option, #flame .frame title, g title"))
        markup = browser.run("return document.querySelectorAll('b, i, img, a[href^=javascript]').length")
        messages = browser.messages()
    finally:
        browser.driver.quit()

    assert not hidden(texts)
    assert [name for name in HOSTILE if name.shown not in texts] == []
    assert (markup, messages) == (0, [])
