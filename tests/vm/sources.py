"""Find the mirrors that this machine's own apt source lists name for a Debian suite.

Both notations of sources.list(5) are read: lines `deb [options] URI SUITE COMPONENT...` and stanzas of
`Field: values`. Other repositories in the lists are passed over, and so are installation discs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SUITE = re.compile(
    r"(?:bullseye|bookworm|trixie|forky|sid|unstable|testing|(?:old){0,2}stable)(?P<security>-security)?"
)
LINE = re.compile(r"deb\s+(?:\[[^]]*\]\s*)?(\S+)\s+(\S+)\s+main\b")
FIELD = re.compile(r"^([\w-]+):((?:.*\n?)(?:^[ \t].*\n?)*)", re.MULTILINE)


@dataclass(frozen=True)
class Mirrors:
    """Hold the URIs of a Debian archive and of its security updates; None if the machine names none."""

    archive: str | None
    security: str | None


def mirrors(etc: Path = Path("/etc/apt")) -> Mirrors:
    """Return the first mirror of each sort in the source lists of the folder `etc`."""
    archive = security = None
    for uri, suite in _sources(etc):
        match = SUITE.fullmatch(suite)
        if match and match["security"]:
            security = security or uri
        elif match:
            archive = archive or uri
    return Mirrors(archive, security)


def _sources(etc: Path) -> Iterator[tuple[str, str]]:
    """Yield the URI and suite of each source of packages of the component main."""
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        found = _stanzas("\n".join(lines)) if path.suffix == ".sources" else _lines(lines)
        yield from (source for source in found if not source[0].startswith("cdrom:"))


def _lines(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        match = LINE.match(line.strip())
        if match:
            yield match[1], match[2]


def _stanzas(text: str) -> Iterator[tuple[str, str]]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = {match[1].lower(): match[2].split() for match in FIELD.finditer(stanza)}
        offers = "deb" in fields.get("types", []) and "main" in fields.get("components", [])
        if offers and fields.get("enabled") != ["no"]:
            yield from ((uri, suite) for uri in fields.get("uris", []) for suite in fields.get("suites", []))
