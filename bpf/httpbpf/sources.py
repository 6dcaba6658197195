"""The C files of this package, whether it lies in a folder or in a zip (`make zipapp`)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

_HERE = files("httpbpf")


def read(name: str) -> str:
    """The text of one of them."""
    return (_HERE / name).read_text()


@contextmanager
def kernel_tree() -> Iterator[Path]:
    """The folder for BCC_KERNEL_SOURCE: ours, or a copy that is there for a while and for this user only."""
    tree = _HERE / "kernel"
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
