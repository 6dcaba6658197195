"""Make type information (BTF) from C declarations with a compiler and bpftool, as bytes and as JSON."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

TYPES = """
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
"""


def btf_of(folder: Path, source: str) -> bytes:
    """Return the .BTF section that gcc writes for a source."""
    code, built, section = folder / "types.c", folder / "types.o", folder / "types.btf"
    code.write_text(source)
    subprocess.run(["gcc", "-gbtf", "-fno-eliminate-unused-debug-types", "-c", "-o", built, code], check=True)
    subprocess.run(["objcopy", "--dump-section", f".BTF={section}", built], check=True)
    return section.read_bytes()


def dump(path: Path | str) -> list[dict[str, Any]]:
    """Return bpftool's reading of a BTF file, by type number; number 0 is void."""
    answer = subprocess.run(["bpftool", "-j", "btf", "dump", "file", path], check=True, capture_output=True)
    types: list[dict[str, Any]] = json.loads(answer.stdout)["types"]
    return [{"kind": "VOID", "name": ""}, *types]
