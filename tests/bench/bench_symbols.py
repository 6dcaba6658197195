"""Measure what it costs to read a module's symbols and to name 10,000 addresses: here, by `symbolic`, addr2line and
llvm-symbolizer.

    PYTHONPATH=reporter:format python tests/bench/bench_symbols.py [MODULE...]

Modules are the machine's libc, libpython and node (Debian's is a library, libnode) where they are installed, or those
given. The addresses are spread over their functions with a symbol. Each number is the best of three runs on one core,
from the file to the last name; compare them within one run only. `named`: how many of the addresses got a name.
`ratio` is the time by that of ours, one by one, which is how a report asks.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from symbolic.debuginfo import Archive

from httpreport.elf.elf import read_elf
from httpreport.elf.symbol_table import SymbolTable, read_symbols
from support.compiled import NODE_BINARY

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
MODULES = [LIBRARIES / "libc.so.6", *sorted(LIBRARIES.glob("libpython3.*.so.1.0")), NODE_BINARY]
LOOK_UPS, RUNS = 10_000, 3


def seconds(work: Callable[[], object]) -> float:
    """Return the best of RUNS runs."""
    best = float("inf")
    for _ in range(RUNS):
        before = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - before)
    return best


def table(path: Path) -> SymbolTable:
    return read_symbols(read_elf(path.read_bytes()))


def one_by_one(path: Path, addresses: list[int]) -> int:
    lookup = table(path).lookup
    return sum(lookup(address) is not None for address in addresses)


def together(path: Path, addresses: list[int]) -> int:
    symbols = table(path)
    rows = symbols.lookup_many(np.array(addresses, "<u8")).tolist()
    return len([symbols.symbol(row, address) for row, address in zip(rows, addresses) if row >= 0])


def symbolic(path: Path, addresses: list[int]) -> int:
    """Name addresses with `symbolic`, which counts them from the lowest PT_LOAD."""
    [debug] = Archive.open(str(path)).iter_objects()
    lookup = debug.make_symcache().lookup
    with path.open("rb") as file:
        lowest = min(segment.address for segment in read_elf(file.read(1 << 16), ()).segments)
    return sum(bool(lookup(address - lowest)) for address in addresses)


def addr2line(path: Path, addresses: list[int]) -> int:
    asked = "\n".join(map(hex, addresses))
    done = subprocess.run(["addr2line", "-f", "-e", path], input=asked, capture_output=True, text=True, check=True)
    return sum(name != "??" for name in done.stdout.splitlines()[::2])


def llvm_symbolizer(path: Path, addresses: list[int]) -> int:
    """Name addresses with llvm-symbolizer. The first line of an answer is the name, an empty line ends it."""
    asked = "\n".join(map(hex, addresses))
    command: list[str | Path] = ["llvm-symbolizer", "--no-inlines", "-e", path]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    return sum(not answer.startswith("??") for answer in done.stdout.strip().split("\n\n"))


WAYS: dict[str, Callable[[Path, list[int]], int]] = {
    "ours, one by one": one_by_one,
    "ours, together": together,
    "symbolic": symbolic,
    "addr2line": addr2line,
    "llvm-symbolizer": llvm_symbolizer,
}


def measure(path: Path) -> None:
    if not path.exists():
        print(f"{path}: not measured, it is not installed")
        return
    symbols, chance = table(path), random.Random(1)
    functions = symbols.symbols[["address", "end"]].tolist()
    addresses = [chance.randrange(start, max(end, start + 1)) for start, end in chance.choices(functions, k=LOOK_UPS)]
    print(f"{path.name}: {path.stat().st_size >> 20} MiB, {len(symbols):,} symbols")
    unit = seconds(partial(one_by_one, path, addresses))
    for name, way in WAYS.items():
        if name in ("addr2line", "llvm-symbolizer") and not shutil.which(name):
            print(f"    {name:17} not measured, it is not installed")
            continue
        taken = unit if way is one_by_one else seconds(partial(way, path, addresses))
        print(f"    {name:17} {way(path, addresses):6,} named {taken * 1e3:9.1f} ms  ratio {taken / unit:7.2f}")
    load = seconds(partial(table, path))
    print(f"    of ours {load * 1e3:.1f} ms are to read the symbols")


def main() -> None:
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else MODULES:
        measure(path)


if __name__ == "__main__":
    main()
