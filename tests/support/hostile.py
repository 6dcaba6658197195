"""Define names that would break out of a terminal, a text file, markup or a table, and a capture that has them in every
text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from httpcapture import End, JitMap, Lost, Module, Record
from support.compiled import compiled, run
from support.live import build_id, parts
from support.recordings import MS, PROCESS_START_NS, STARTED_NS, Row, capture, process, stack

JIT, PATHS, SYMBOLS, LONG = 0x7F0100000000, 0x7F0200000000, 0x7F0300000000, 4990
SIZE = 0x1000  # of a mapping
BINARY = "opt/evil.so"


class Name(NamedTuple):
    """Hold a name of at most 15 bytes as recorded, and the text that each output must show unless its own syntax
    prescribes another."""

    recorded: bytes
    shown: str


HOSTILE = [
    Name(b"</script><b>", "</script><b>"),
    Name(b"]]>&amp;\"'<b>", "]]>&amp;\"'<b>"),
    Name(b"\x1b]0;\x07\x1b[31m\xc2\x9b", r"\x1b]0;\x07\x1b[31m\x9b"),
    Name(b"a\nb\r\x0bc\xe2\x80\xa8d", r"a\x0ab\x0d\x0bc\u2028d"),
    Name(b"a;b 12 34", "a;b 12 34"),
    Name(b"\xff\xfe\xed\xa0\x80", r"\xff\xfe\xed\xa0\x80"),
    Name("\u202ea\u2066b\u200f".encode(), r"\u202ea\u2066b\u200f"),
    Name(b"=1+cmd|'/C'!A", "=1+cmd|'/C'!A"),
    Name(b"[red]x[/red]", "[red]x[/red]"),
    Name(b"@(id)`id`%n{0}\\", "@(id)`id`%n{0}\\"),
]
HARMLESS = [Name(b"name%d" % number, f"name{number}") for number in range(len(HOSTILE))]


def one_line(text: bytes) -> bytes:
    """Return a name without line breaks, as it can stand in maps."""
    return text.replace(b"\n", b"\r")


def build(folder: Path, names: Sequence[Name]) -> Path:
    """Build a library in folder/BINARY with a function for each name and one with a very long name, in source files
    with these names, and return it."""
    functions = [*(name.recorded for name in names), b"S" * LONG]
    sources = ("".join(f"\\{byte:03o}" for byte in name) for name in functions)
    lines = (f'#line 1 "/src/{name}"\nint f{place}(int a) {{ return a / 3; }}\n' for place, name in enumerate(sources))
    path = folder / BINARY
    path.parent.mkdir()
    built = compiled(
        folder, "evil.c", "".join(lines), ["-g", "-shared", "-fPIC", "-nostdlib", "-fvisibility=hidden", "-O0"]
    )
    renamed = [f"--redefine-sym=f{place}={os.fsdecode(name)}" for place, name in enumerate(functions)]
    run("objcopy", *renamed, built, path)
    return path


def hostile_capture(binary: Path, names: Sequence[Name], host: str = "") -> bytes:
    """Return a call for each name, whose stack trace goes through code made at run time, a file and a function with
    that name; the stack trace of the first continues through very long names."""
    text = " ".join(name.recorded.decode("utf-8", "ignore") for name in names)
    lines = [*(one_line(name.recorded) for name in names), b"L" * LONG]
    maps = [b"%x-%x r-xp 00000000 00:00 0 \n" % (JIT, JIT + SIZE)]
    maps += [b"%x-%x r-xp 00000000 fe:01 7    /opt/%b\n" % (*_mapping(place), line) for place, line in enumerate(lines)]
    maps += [b"%x-%x r-xp 00001000 fe:01 8    /%b\n" % (SYMBOLS, SYMBOLS + SIZE, BINARY.encode())]
    jit_map = b"".join(b"%x 10 %b\n" % (JIT + place * 16, line) for place, line in enumerate(lines))
    functions = [
        int(line.split()[0], 16)
        for line in run("nm", "-n", binary.parent.parent / "evil").splitlines()
        if " t f" in line
    ]
    frames = [
        (JIT + place * 16 + 8, _mapping(place)[0] + 8, SYMBOLS + at - SIZE + 3) for place, at in enumerate(functions)
    ]
    stacks = [frames[0] + frames[-1], *frames[1:-1]]
    module = Module(1, b"/" + BINARY.encode(), build_id(binary), binary.stat().st_size, b"", text, 62)
    records: list[Record] = [
        module,
        *parts(1, binary),
        replace(process(b"".join(maps), [(SYMBOLS, 1)], problem=text), executable=lines[0]),
        JitMap(12345, PROCESS_START_NS, STARTED_NS, 0, jit_map, text),
        *(stack(*addresses, id=number) for number, addresses in enumerate(stacks, 1)),
        Lost(STARTED_NS, {text: 3}),
    ]
    rows = [
        Row(
            sequence=place,
            duration_ns=(200 + place) * MS,
            process=name.recorded,
            comm=b"-" + name.recorded[:14],
            request_head=name.recorded[:8],
            response_head=name.recorded,
            stack=place + 1,
        )
        for place, name in enumerate(names)
    ]
    about: dict[str, Any] = dict.fromkeys(["tool", "kernel", "arch", "boot_id", "probes"], text)
    about["host"] = host or text
    filters = [*(name.recorded for name in names), b"*"]  # so that every process is there with all its threads
    end = End(STARTED_NS, text, False, len(rows), len(rows), 0, {text: 3})
    return capture(rows, records, (), end, process_filters=filters, limits={text: 7}, **about)


def _mapping(place: int) -> tuple[int, int]:
    return PATHS + 2 * place * SIZE, PATHS + (2 * place + 1) * SIZE
