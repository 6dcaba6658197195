"""Split FORMAT.md into sections, tables and code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

FORMAT = Path(__file__).parents[2] / "format" / "FORMAT.md"


def section(title: str) -> str:
    """Return the text under a heading, which is given with its signs, up to the next heading."""
    return FORMAT.read_text().split(f"\n{title}\n")[1].split("\n#")[0]


def tables(text: str, first: str) -> list[list[list[str]]]:
    """Return the cells of each table whose first column has this head, row by row, without the head."""
    found = re.findall(rf"^\| {first} \|.*\n\| --- .*\n((?:\|.*\n?)+)", text, re.MULTILINE)
    return [[[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()] for table in found]


def quoted(cell: str) -> list[str]:
    """Return the code in a cell."""
    return re.findall(r"`(.*?)`", cell)


def fenced(language: str, containing: str = "") -> str:
    """Return the block of code in this language that contains a text."""
    (block,) = (
        block
        for block in re.findall(rf"^```{language}\n(.*?)^```$", FORMAT.read_text(), re.MULTILINE | re.DOTALL)
        if containing in block
    )
    return str(block)


def function(name: str) -> Any:
    """Return a function that FORMAT.md gives in Python, ready to be called."""
    namespace: dict[str, Any] = {}
    exec(compile(fenced("python", f"def {name}("), str(FORMAT), "exec"), namespace)
    return namespace[name]
