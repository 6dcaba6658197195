"""Read the C files of this package, which may be in a folder or in a zip (`make zipapp`)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

_PACKAGE = files("httpbpf")


def read_source(name: str) -> str:
    """Return the text of one of the C files."""
    return (_PACKAGE / name).read_text()


@contextmanager
def kernel_tree() -> Iterator[Path]:
    """Yield the folder for BCC_KERNEL_SOURCE: the package's own, or a temporary copy that only this user can read."""
    tree = _PACKAGE / "kernel"
    if isinstance(tree, Path):
        yield tree
        return
    with tempfile.TemporaryDirectory(prefix="httprec-") as folder:
        pending = [(tree, Path(folder))]
        while pending:
            source, copy = pending.pop()
            copy.mkdir(exist_ok=True)
            for entry in source.iterdir():
                if entry.is_dir():
                    pending.append((entry, copy / entry.name))
                else:
                    (copy / entry.name).write_bytes(entry.read_bytes())
        yield Path(folder)
