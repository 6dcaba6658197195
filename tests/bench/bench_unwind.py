"""Measure what it costs to unwind one recorded stack: here (never seen before, seen paths, seen bytes), by libdw, and
by a prototype.

    PYTHONPATH=reporter python tests/bench/bench_unwind.py [PROTOTYPE.py]

Stacks and modules are those of tests/reporter/data. Each number is the best of five runs on one core; compare them
within one run only. libdw is measured where its shared library and gcc are; the prototype, a module with Elf, Space and
unwind, where its path is given. `ratio` is the time by that of the fast walk: what a stack costs whose code has been
seen, which is nearly all.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from httpreport.unwind import Unwinder
from httpreport.unwind.arch import X86_64
from httpreport.unwind.fast import FastWalker
from httpreport.unwind.walk import full_walk
from support.stacks import RecordedStack, kept_module, sample

STACKS = [("py311_plain", "bookworm"), ("py311_tls", "bookworm"), ("py313_plain", "trixie")]
RUNS, REPEATS = 5, 300


def seconds_each(work: Callable[[], object]) -> float:
    """Return the best of RUNS runs, each the mean of REPEATS."""
    best = float("inf")
    for _ in range(RUNS):
        before = time.perf_counter()
        for _ in range(REPEATS):
            work()
        best = min(best, (time.perf_counter() - before) / REPEATS)
    return best


def ours(stack: RecordedStack) -> Iterator[tuple[str, int, float]]:
    space = stack.space()
    before = time.perf_counter()
    frames = len(Unwinder(space, X86_64).unwind(stack.registers, stack.stack).addresses)
    yield "first of all", frames, time.perf_counter() - before
    fast, unwinder = FastWalker(space, X86_64), Unwinder(space, X86_64)
    yield "fast walk", frames, seconds_each(lambda: fast.walk(stack.registers, stack.stack))
    yield "full walk", frames, seconds_each(lambda: full_walk(space, X86_64, stack.registers, stack.stack))
    copies = iter([bytes(bytearray(stack.stack)) for _ in range(RUNS * REPEATS + 1)])
    unwinder.unwind(stack.registers, next(copies))
    yield "same bytes again", frames, seconds_each(lambda: unwinder.unwind(stack.registers, next(copies)))


def prototype(path: str, stack: RecordedStack, suite: str) -> Iterator[tuple[str, int, float]]:
    spec = importlib.util.spec_from_file_location("prototype", path)
    assert spec and spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    opened: dict[str, Any] = {}

    def opener(path: str) -> Any:
        if path not in opened:
            data = kept_module(suite, path)
            opened[path] = module.Elf(data) if data else None
        return opened[path]

    space, values = module.Space(stack.maps, opener), [value or 0 for value in stack.registers]
    addresses, _ = module.unwind(space, values, values[7], stack.stack)
    yield "prototype", len(addresses), seconds_each(lambda: module.unwind(space, values, values[7], stack.stack))


def libdw(folder: Path, stack: RecordedStack, suite: str) -> Iterator[tuple[str, int, float]]:
    build: list[str | Path] = [
        "gcc",
        "-O2",
        "-o",
        folder / "libdw_unwind",
        Path(__file__).with_name("libdw_unwind.c"),
        "-l:libdw.so.1",
    ]
    if subprocess.run(build, capture_output=True, check=False).returncode:
        print("    libdw: not measured, gcc or libdw.so.1 is missing")
        return
    (folder / "stack").write_bytes(stack.stack)
    values = stack.registers
    numbers = [values[index] or 0 for index in (7, 16, 7, 6, 3, 12, 13, 14, 15)]
    modules: list[str] = []
    for path, bias in stack.biases():
        data = kept_module(suite, path)
        if data:
            (folder / Path(path).name).write_bytes(data)
            modules += [f"{bias:x}", str(folder / Path(path).name)]
    command: list[str | Path] = [
        folder / "libdw_unwind",
        f"{REPEATS:x}",
        folder / "stack",
        *(f"{number:x}" for number in numbers),
        *modules,
    ]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(RUNS)]
    yield "libdw", int(runs[0][0]), min(float(nanoseconds) for _, nanoseconds in runs) / 1e9


def main() -> None:
    for name, suite in STACKS:
        stack = sample(name, suite)
        with tempfile.TemporaryDirectory() as folder:
            rows = [*ours(stack), *libdw(Path(folder), stack, suite)]
            for path in sys.argv[1:]:
                rows += prototype(path, stack, suite)
        unit = next(seconds for what, _, seconds in rows if what == "fast walk")
        print(f"{name}: {len(stack.stack)} bytes")
        for what, frames, seconds in rows:
            print(f"    {what:17} {frames:3} frames {seconds * 1e6:9.1f} us  ratio {seconds / unit:7.2f}")
        for what, _, seconds in rows:
            if what == "libdw":
                print(f">> stacks unwound a second, {name}: {seconds / unit:.1f} times {what}")


if __name__ == "__main__":
    main()
