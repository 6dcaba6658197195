"""Make the HTML text of a page: page.html or comparison.html, in shell.html, with everything that it needs put in, so
that one file suffices.

Nothing that was recorded becomes markup or script. It is only in the data, a JSON text in which `<` is written as an
escape, so that no name can end the element; the scripts make text nodes of it. The content security policy allows only
these scripts to run, each named by its hash (CSP 3, 8.2), and nothing to be fetched or sent.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import pkgutil
import re
from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass
from typing import Any

from ...compare.changes import Comparison
from ...report.aggregate import Aggregate
from ..output import Compared, Reported, encoded
from .comparison import comparison_data
from .data import Page, page_data

LIBRARIES = ("d3", "d3-flame-graph")
SCRIPTS = (
    *("selection.js", "format.js", "answers.js", "brush.js", "latency.js", "sortable.js", "groups.js", "chart.js"),
    *("flame.js", "waterfall.js", "opened_call.js", "calls.js", "address.js", "filter_parts.js", "filters.js"),
    *("totals.js", "main.js"),
)
COMPARISON_SCRIPTS = ("format.js", "answers.js", "chart.js", "changes.js", "comparison.js")


def report(reported: Reported) -> Iterable[bytes]:
    """Return the page as one piece. The aggregate must have the slowest calls."""
    return encoded([page(reported.whole)], "\n")


def comparison(compared: Compared) -> Iterable[bytes]:
    """Return the page of a comparison as one piece."""
    return encoded([comparison_page(compared.comparison)], "\n")


def page(whole: Aggregate) -> str:
    """Return the HTML of a page. The aggregate must have the slowest calls."""
    return document(page_data(whole))


def comparison_page(comparison: Comparison) -> str:
    """Return the HTML of the page of a comparison."""
    data = comparison_data(comparison)
    return _assembled("comparison.html", f"{data.after} since {data.before} - what changed", COMPARISON_SCRIPTS, data)


def document(data: Page) -> str:
    """Return the HTML of a page with these values."""
    return _assembled("page.html", f"{data.name} - slow HTTP calls on {data.where}", SCRIPTS, data)


def _assembled(template: str, title: str, scripts: Sequence[str], data: object) -> str:
    """Return a template with the title, style, scripts, libraries and data put in."""
    libraries = [_file(f"vendor/{name}.min.js") for name in LIBRARIES]
    own = "\n".join(map(_file, scripts))
    parts = {
        "policy": _policy([*libraries, own]),
        "title": html.escape(title),
        "style": _file("page.css"),
        "libraries": "\n".join(f"<script>{library}</script>" for library in libraries),
        "licences": html.escape("\n\n".join(_file(f"vendor/{name}.LICENSE") for name in LIBRARIES)),
        "data": _json(data),
        "script": own,
    }
    return re.sub(r"{{(\w+)}}", lambda match: parts[match[1]], _template(template))


def _template(name: str) -> str:
    """Return the markup of a page: its own in the shell of every page, with the files that it names put in."""
    whole = _file("shell.html").replace("{{content}}\n", _file(name))
    return re.sub(r"{{(\w+\.html)}}\n", lambda match: _file(match[1]), whole)


def _policy(scripts: list[str]) -> str:
    """Return the content security policy that allows exactly these scripts."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def _json(data: object) -> str:
    return json.dumps(data, default=_fields, separators=(",", ":")).replace("<", "\\u003c")


def _fields(value: Any) -> dict[str, Any]:
    if not is_dataclass(value):
        raise TypeError(value)
    return vars(value)


def _file(name: str) -> str:
    data = pkgutil.get_data(__package__, name)
    assert data is not None  # the loader of a package on disk or in a zip file has it
    return data.decode()
