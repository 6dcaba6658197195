"""Look at the source tree: list its packages and files, and find by ast what the code imports and calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "httprec": ROOT / "recorder" / "httprec",
    "httpbpf": ROOT / "bpf" / "httpbpf",
    "httpcapture": ROOT / "format" / "httpcapture",
    "httpreport": ROOT / "reporter" / "httpreport",
}
_NOT_OURS = {".git", "__pycache__", "build", "dist"}
_HIDDEN_BUT_OURS = {".ci", ".editorconfig", ".gitignore", ".pre-commit-config.yaml"}


def files() -> Iterator[Path]:
    """Return every file of the repository, without those that tools generate."""
    pending = [ROOT]
    while pending:
        for path in pending.pop().iterdir():
            if path.name in _NOT_OURS or (path.name.startswith(".") and path.name not in _HIDDEN_BUT_OURS):
                continue
            if path.is_dir():
                pending.append(path)
            else:
                yield path


def modules(package: str) -> list[Path]:
    """Return the Python files of one of PACKAGES."""
    found = sorted(PACKAGES[package].rglob("*.py"))
    assert found, f"{PACKAGES[package]} has no Python files"
    return found


def imports(path: Path, package: str) -> set[str]:
    """Return what a file of `package` imports, as absolute names: `os`, `collections.abc.Iterator`,
    `httprec.errors`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(path, package, node) if node.level else node.module or ""
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def _absolute(path: Path, package: str, node: ast.ImportFrom) -> str:
    """Return the dotted name of the module that a relative import names."""
    inner = path.relative_to(PACKAGES[package]).parts[:-1]
    above = (package, *inner)[: len(inner) + 2 - node.level]
    return ".".join((*above, node.module) if node.module else above)


def top_level(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def names_used(path: Path) -> set[str]:
    """Return every name that a file reads, with its attributes: `open`, `os.path.join`."""
    return {text for node in ast.walk(ast.parse(path.read_bytes())) if (text := _dotted(node))}


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := _dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""
