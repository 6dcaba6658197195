"""Feed mutated modules and stacks to the ELF reader, the symbol tables and the unwinder, for a number of seconds.

    PYTHONPATH=reporter python tests/fuzz/fuzz_modules.py SECONDS [SEED]

Fails at the first input that raises, takes more than 50 ms of processor time twice in a row, or makes the process grow
beyond its bound. An input is made by its seed alone: the seed that is printed, as SEED, runs it again.
"""

from __future__ import annotations

import lzma
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from httpreport.elf.demangle import demangle
from httpreport.elf.elf import BadElf, Elf, Section, read_elf
from httpreport.elf.symbol_table import read_symbols
from httpreport.unwind import AddressSpace, CallFrameInfo, CodeRange
from httpreport.unwind.arch import X86_64
from httpreport.unwind.fast import FastWalker
from httpreport.unwind.walk import full_walk

MAX_SECONDS_AN_INPUT = 0.05
MAX_GROWTH_BYTES = 256 << 20

SOURCE = """
#include <unistd.h>
static __attribute__((noinline)) int leaf(char *bytes, int size) { return read(0, bytes, size); }
__attribute__((noinline)) int array(int size) { char bytes[size]; return leaf(bytes, size) + bytes[0]; }
__attribute__((noinline)) int recurse(int depth) { return depth ? recurse(depth - 1) + depth : array(5); }
int main(void) { return recurse(9); }
"""
NUMBERS = [0, 1, 2, 7, 8, 16, 24, 64, 127, 128, 255, 256, 4095, 4096, 65535, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]
NUMBERS += [(1 << 63) - 1, 1 << 63, (1 << 64) - 8, (1 << 64) - 1]
CODE_AT = 0x7F0000000000
STACK_AT = 0x7FFF00000000


@dataclass(frozen=True)
class Seeds:
    """Hold what is mutated: a program with all symbols, and one whose symbols are in .gnu_debugdata."""

    program: bytes
    stripped: bytes
    hot: tuple[range, ...]  # the parts of `program` that are worth mutating

    @staticmethod
    def made() -> Seeds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "seed.c").write_text(SOURCE)
            _run(folder, "gcc", "-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-o", "seed", "seed.c")
            program = (folder / "seed").read_bytes()
            (folder / "seed.xz").write_bytes(lzma.compress(program))
            _run(folder, "objcopy", "-S", "--add-section", ".gnu_debugdata=seed.xz", "seed", "stripped")
            stripped = (folder / "stripped").read_bytes()
        programs_at, sections_at = struct.unpack_from("<QQ", program, 32)
        programs, _, sections = struct.unpack_from("<HHH", program, 56)
        hot = [
            range(64),
            range(programs_at, programs_at + 56 * programs),
            range(sections_at, sections_at + 64 * sections),
        ]
        for index in range(sections):
            offset, size = struct.unpack_from("<QQ", program, sections_at + 64 * index + 24)
            if 0 < size < 1 << 12:
                hot.append(range(offset, offset + size))
        return Seeds(program, stripped, tuple(hot))


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True)


def mutated(data: bytes, chance: random.Random, hot: tuple[range, ...] = ()) -> bytes:
    """Return `data` with a few numbers, bits and blocks changed, mostly in its hot parts, and sometimes cut off."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        place = chance.choice(hot) if hot and chance.random() < 0.9 else range(len(changed))
        at = chance.choice(place) if place else 0
        width = chance.choice((1, 2, 4, 8))
        how = chance.randrange(4)
        if how == 0:
            changed[at : at + 1] = bytes([(changed[at] if at < len(changed) else 0) ^ 1 << chance.randrange(8)])
        elif how == 1:
            number = (chance.choice(NUMBERS) + chance.choice((-1, 0, 0, 1))) & (1 << 8 * width) - 1
            changed[at : at + width] = number.to_bytes(width, "little")
        elif how == 2:
            changed[at : at + width] = chance.randbytes(width)
        else:
            source = chance.randrange(len(changed) + 1)
            changed[at : at + 8 * width] = changed[source : source + 8 * width]
    if chance.random() < 0.05:
        del changed[chance.randrange(len(changed) + 1) :]
    return bytes(changed)


def use(elf: Elf, chance: random.Random) -> None:
    """Read a module as a report does."""
    symbols = read_symbols(elf)
    inside = [s.address + chance.randrange(max(s.memory_size, 1)) for s in elf.segments[:16]]
    addresses = [address & (1 << 64) - 1 for address in [*inside, *NUMBERS]]
    for row, address in zip(symbols.lookup_many(np.array(addresses, "<u8")).tolist(), addresses):
        if row >= 0:
            demangle(symbols.symbol(row, address).name)
        symbols.lookup(address)
    frames = CallFrameInfo(elf)
    for address in addresses:
        frames.row(address)
        frames.function_start(address)
    walk(AddressSpace([CodeRange(CODE_AT, CODE_AT + (1 << 20), CODE_AT, frames)]), inside, chance)


def walk(space: AddressSpace, code: list[int], chance: random.Random) -> None:
    """Walk a stack that is full of addresses of code and stack."""
    words = [
        chance.choice((CODE_AT + chance.choice(code or [0]), STACK_AT + 8 * chance.randrange(300), *NUMBERS[:2]))
        & (1 << 64) - 1
        for _ in range(256)
    ]
    values = X86_64.numbered(
        rip=CODE_AT + chance.choice(code or [0]) & (1 << 64) - 1,
        rsp=STACK_AT,
        rbp=STACK_AT + 8 * chance.randrange(64),
        rbx=words[0],
    )
    stack = struct.pack(f"<{len(words)}Q", *words)
    stack = stack[: chance.choice((len(stack), chance.randrange(len(stack))))]
    fast, full = FastWalker(space, X86_64).walk(values, stack), full_walk(space, X86_64, values, stack)
    assert len(full.addresses) == len(full.found)
    assert fast in (None, full)


def fuzz_file(seeds: Seeds, chance: random.Random) -> None:
    """Try a mutated ELF file."""
    data = mutated(seeds.program, chance, seeds.hot)
    try:
        elf = read_elf(data)
    except BadElf:
        return
    use(elf, chance)


def fuzz_debugdata(seeds: Seeds, chance: random.Random) -> None:
    """Try a mutated mini debug file, either compressed after mutation or with mutated compressed bytes."""
    elf = read_elf(seeds.stripped)
    packed = elf.sections[".gnu_debugdata"].data
    inner = lzma.decompress(packed)
    data = (
        mutated(packed, chance) if chance.random() < 0.5 else lzma.compress(mutated(inner, chance, seeds.hot), preset=0)
    )
    read_symbols(replace(elf, sections={**elf.sections, ".gnu_debugdata": Section(0, data)}))


def fuzz_sections(seeds: Seeds, chance: random.Random) -> None:
    """Try a sound module with mutated sections, as a capture may carry it."""
    elf = read_elf(seeds.program)
    name = chance.choice([".eh_frame", ".eh_frame", ".eh_frame_hdr", ".symtab", ".strtab", ".dynsym"])
    section = Section(elf.sections[name].address, mutated(elf.sections[name].data, chance))
    sections = {**elf.sections, name: section}
    if chance.random() < 0.5:
        del sections[".eh_frame_hdr"]
    use(replace(elf, sections=sections), chance)


def fuzz_stack(seeds: Seeds, chance: random.Random) -> None:
    """Try a sound module with a hostile stack."""
    elf = read_elf(seeds.program)
    symbols = read_symbols(elf).symbols
    code = [int(s["address"]) + chance.randrange(max(int(s["end"] - s["address"]), 1)) for s in symbols]
    walk(AddressSpace([CodeRange(CODE_AT, CODE_AT + (1 << 20), CODE_AT, CallFrameInfo(elf))]), code, chance)


def fuzz_name(seeds: Seeds, chance: random.Random) -> None:
    """Try a mutated mangled name."""
    letters = "_ZNKRSTIELPvijhb0123456789abBCDMXsYp.%$"
    prefix = chance.choice(("_Z", "_ZN", "_R", "_RNvC", "_RINv", "_ZN4core"))
    demangle(prefix + "".join(chance.choices(letters, k=chance.randrange(200))))


TARGETS: tuple[Callable[[Seeds, random.Random], None], ...] = (
    *(fuzz_file, fuzz_file, fuzz_sections, fuzz_sections),
    *(fuzz_stack, fuzz_debugdata, fuzz_name),
)


def once(seeds: Seeds, seed: int) -> float:
    """Run the input that `seed` generates, and return the processor time that it took."""
    chance = random.Random(seed)
    target = TARGETS[seed % len(TARGETS)]
    before = time.process_time()
    target(seeds, chance)
    return time.process_time() - before


def main(seconds: float, first_seed: int) -> int:
    seeds = Seeds.made()
    for seed in range(len(TARGETS)):
        once(seeds, seed)  # imports and tables of libraries are no input's fault
    start_size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    until, seed, slowest = time.monotonic() + seconds, first_seed, (0.0, 0)
    while time.monotonic() < until:
        try:
            took = once(seeds, seed)
            if took > MAX_SECONDS_AN_INPUT:
                took = min(took, once(seeds, seed))
        except Exception:
            print(f"seed {seed} ({TARGETS[seed % len(TARGETS)].__name__}) raised:", file=sys.stderr)
            raise
        slowest = max(slowest, (took, seed))
        if took > MAX_SECONDS_AN_INPUT:
            print(f"seed {seed} ({TARGETS[seed % len(TARGETS)].__name__}) took {took * 1000:.0f} ms", file=sys.stderr)
            return 1
        seed += 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start_size) << 10
    print(
        f"{seed - first_seed} inputs; slowest {slowest[0] * 1000:.1f} ms (seed {slowest[1]}); grown {grown >> 20} MiB"
    )
    if grown > MAX_GROWTH_BYTES:
        print(f"the process grew by {grown} bytes, at most {MAX_GROWTH_BYTES} are right", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
