"""Check that a capture is enough: the report is the same without any other file and without a network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from httpcapture import Module, open_capture
from httpreport.outputs.registry import FOLDED, STACK_TRACES
from support.empty_roots import report_below
from support.live import own_cache  # noqa: F401 (a fixture)
from support.stacks import DATA, kept_module

CAPTURE = DATA / "python_http.cap"


def test_the_names_need_neither_binaries_nor_a_network(tmp_path: Path) -> None:
    with_binaries, empty = tmp_path / "with_binaries", tmp_path / "empty"
    for root in (with_binaries, empty):
        root.mkdir()
        shutil.copy(CAPTURE, root / "run.cap")
    assert {path.name for path in put_binaries(with_binaries)} >= {"python3.11", "libc.so.6"}

    report_below(with_binaries, empty)

    assert sorted(os.listdir(empty)) == ["run.cap", STACK_TRACES.name, FOLDED.name]
    found = (empty / STACK_TRACES.name).read_text()
    assert found == (with_binaries / STACK_TRACES.name).read_text()
    for name in ("_PyEval_EvalFrameDefault", "Py_BytesMain", "_start"):  # of the client's calls
        assert found.count(f"    {name} (/usr/bin/python3.11)\n") >= 12


def put_binaries(root: Path) -> list[Path]:
    """Copy the recorded binaries that we have to their recorded paths below `root`."""
    put = []
    with open_capture(CAPTURE) as records:
        for record in records:
            data = kept_module("bookworm", os.fsdecode(record.path)) if isinstance(record, Module) else None
            if isinstance(record, Module) and data:
                path = root / os.fsdecode(record.path).lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                put.append(path)
    return put
