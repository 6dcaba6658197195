"""Compare the documents with the code: options, errors, losses, make targets, and every link."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from httpbpf.layout import COUNTERS
from httpreport.report.loss_messages import MEANING
from support.source import ROOT, files, modules

DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text() for path in files() if path.suffix == ".md"}
OPTIONS = {"httprec": "docs/httprec.md", "httpreport": "docs/httpreport.md"}  # where each command's table stands
MAX_README_WORDS = 1200
ERRORS = {"RecorderError", "BtfError", "FilterError"}
GAP = "…"  # in the documents and here: what differs from case to case
LINK = re.compile(r"!?\[[^\]]*\]\((?!https?:)([^)]+)\)|\bsrc=\"([^\"]+)\"")


def section(document: str, title: str) -> str:
    """Return the text under a heading, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", DOCUMENTS[document], re.MULTILINE | re.DOTALL)
    assert found, f"{document} has no heading {title!r}"
    return found[1]


def first_cells(text: str) -> list[str]:
    """Return the code in the first column of a table."""
    return [cell.replace(r"\|", "|") for cell in re.findall(r"^\| `(.*?)` \| ", text, re.MULTILINE)]


@pytest.mark.parametrize("command", OPTIONS)
def test_the_options_are_those_of_help(command: str) -> None:
    program = Path(sys.executable).with_name(command)
    printed = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
    options = re.findall(r"^  (-\S+(?:,? \S+)*)", printed, re.MULTILINE)
    assert len(options) > 5
    assert first_cells(section(OPTIONS[command], "Options")) == options


def _template(message: ast.expr) -> str:
    """Return the constant parts of a text that is made at run time, with GAP between them."""
    if isinstance(message, ast.Constant):
        return str(message.value)
    if isinstance(message, ast.JoinedStr):
        return "".join(map(_template, message.values))
    if isinstance(message, ast.BinOp):
        return _template(message.left) + GAP
    return GAP


def errors() -> Iterator[str]:
    """Yield the message of every error that the recorder raises: what it can print as its last words."""
    for path in modules("httprec") + modules("httpbpf"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args:
                message = _template(node.args[0])
                if message.strip(GAP):
                    yield message


def test_every_error_of_the_recorder_is_explained_and_no_other() -> None:
    explained = [cell.strip(GAP) for cell in first_cells(section("docs/troubleshooting.md", "Errors"))]
    known = set(errors())
    assert len(known) > 10
    assert not [error for error in known if not any(cell in error for cell in explained)]
    assert not [cell for cell in explained if not any(cell in error for error in known)]


def test_every_cause_of_a_loss_is_explained_and_no_other() -> None:
    counted_by_the_recorder = r'counts\["(\w+)"\] = '
    causes = {cause for path in modules("httprec") for cause in re.findall(counted_by_the_recorder, path.read_text())}
    causes |= set(COUNTERS) - {"calls", "completions"}  # what was emitted
    assert set(first_cells(section("docs/troubleshooting.md", "Losses"))) == causes


def test_a_report_names_the_same_options_against_a_loss() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section("docs/troubleshooting.md", "Losses"), re.MULTILINE))
    options = {cause: set(re.findall(r"`(-[a-z-]+)", text)) for cause, text in rows.items()}
    named = {cause: set(re.findall(r"(?<!\w)-[a-z-]+", loss.remedy)) for cause, loss in MEANING.items()}
    assert named == options
    assert set().union(*options.values()) <= {
        option
        for cell in first_cells(section(OPTIONS["httprec"], "Options"))
        for option in re.findall(r"-[a-z-]+", cell)
    }


def test_the_documents_name_every_target_of_the_makefile_and_no_other() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    explained = first_cells(section("CONTRIBUTING.md", "What make does"))
    assert {cell.removeprefix("make ") for cell in explained} == targets
    assert set(re.findall(r"`make\s([a-z-]+)", "".join(DOCUMENTS.values()))) == targets


def test_continuous_integration_runs_what_contributors_run() -> None:
    commands = re.findall(r"^(?!#|set|cd|export)\w.*", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert commands == ["make test"]


def test_the_readme_is_short() -> None:
    assert len(DOCUMENTS["README.md"].split()) <= MAX_README_WORDS


def headings(document: str) -> set[str]:
    """Return the anchors of a document's headings, made as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)", DOCUMENTS[document], re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links(document: str) -> Iterator[tuple[str, str]]:
    """Yield each link of a document within the repository: the path from its root, and the heading or ""."""
    for found in LINK.finditer(DOCUMENTS[document]):
        path, _, heading = (found[1] or found[2]).partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        yield str(target.resolve().relative_to(ROOT)), heading


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files_and_to_their_headings(document: str) -> None:
    assert not [path for path, _ in links(document) if not (ROOT / path).exists()]
    assert not [(path, heading) for path, heading in links(document) if heading and heading not in headings(path)]


def test_a_link_is_recognised_in_each_form() -> None:
    found = {path for document in ("README.md", "docs/page.md") for path, _ in links(document)}
    assert {"docs/page.md", "docs/page.png", "docs/flame-graph.png", "docs/phone.png", "LICENSE"} <= found


def test_the_readme_leads_to_every_document() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        document = waiting.pop()
        if document in DOCUMENTS and document not in reached:
            reached.add(document)
            waiting += [path for path, _ in links(document)]
    assert reached == set(DOCUMENTS)
