"""README.md says what is so: the options, the errors of the recorder and what to do, the targets of the Makefile."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from httpbpf.layout import COUNTERS
from httpreport.losses import MEANING
from source import ROOT, modules

README = (ROOT / "README.md").read_text()
ERRORS = {"RecorderError", "BtfError", "FilterError"}
GAP = "…"  # in the README and here: what differs from case to case


def section(title: str) -> str:
    """The text under a heading of the README, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no heading {title!r}"
    return found[1]


def first_cells(text: str) -> list[str]:
    """The code in the first column of a table."""
    return [cell.replace(r"\|", "|") for cell in re.findall(r"^\| `(.*?)` \| ", text, re.MULTILINE)]


@pytest.mark.parametrize("command", ["httprec", "httpreport"])
def test_the_options_are_those_of_help(command: str) -> None:
    program = Path(sys.executable).with_name(command)
    said = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
    options = re.findall(r"^  (-\S+(?:,? \S+)*)", said, re.MULTILINE)
    assert len(options) > 5
    assert first_cells(section(f"Options of {command}")) == options


def _template(message: ast.expr) -> str:
    """The constant parts of a text that is made at run time, with GAP between them."""
    if isinstance(message, ast.Constant):
        return str(message.value)
    if isinstance(message, ast.JoinedStr):
        return "".join(map(_template, message.values))
    if isinstance(message, ast.BinOp):
        return _template(message.left) + GAP
    return GAP


def errors() -> Iterator[str]:
    """What the recorder can print as its last words: the errors that it raises."""
    for path in modules("httprec") + modules("httpbpf"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args:
                message = _template(node.args[0])
                if message.strip(GAP):
                    yield message


def test_every_error_of_the_recorder_is_explained_and_no_other() -> None:
    explained = [cell.strip(GAP) for cell in first_cells(section("When httprec says no"))]
    known = set(errors())
    assert len(known) > 10
    assert not [error for error in known if not any(cell in error for cell in explained)]
    assert not [cell for cell in explained if not any(cell in error for error in known)]


def test_every_cause_of_a_loss_is_explained_and_no_other() -> None:
    counted_by_the_recorder = r'counts\["(\w+)"\] = '
    causes = {cause for path in modules("httprec") for cause in re.findall(counted_by_the_recorder, path.read_text())}
    causes |= set(COUNTERS) - {"calls", "completions"}  # what was emitted
    assert set(first_cells(section("What can be lost"))) == causes


def test_a_report_names_the_same_options_against_a_loss() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section("What can be lost"), re.MULTILINE))
    options = {cause: set(re.findall(r"`(-[a-z-]+)", text)) for cause, text in rows.items()}
    said = {cause: set(re.findall(r"(?<!\w)-[a-z-]+", loss.remedy)) for cause, loss in MEANING.items()}
    assert said == options
    assert set().union(*options.values()) <= {
        option for cell in first_cells(section("Options of httprec")) for option in re.findall(r"-[a-z-]+", cell)
    }


def test_the_readme_names_every_target_of_the_makefile_and_what_ci_runs() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets == set(re.findall(r"`make ([a-z-]+)", README))
    commands = re.findall(r"^(?!#|set|cd|export)\w.*", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert commands == ["make test"]


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_links_within_lead_to_headings() -> None:
    titles = re.findall(r"^#+ (.*)", README, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings
