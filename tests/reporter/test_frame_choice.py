"""Check which frames of a stack trace are shown, that folding loses no time, and that all outputs show the same."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcapture import Record
from httpreport.languages.stack_trace import Frame, FrameKind, Incomplete, StackTrace, Unnamed
from httpreport.report.frame_choice import FrameChoice, Frames, chosen
from httpreport.report.samples import shown_frames
from httpreport.symbols.trace_lines import trace_lines
from support.command_line import run
from support.recordings import MS, Row, capture, process, stack

SEND = Frame(1, "/usr/lib/libc.so.6", 0x10, name="send")
LOOP = Frame(2, "/usr/bin/python3.11", 0x20, name="_PyEval_EvalFrameDefault")
HTTP = Frame(0, name="request", file="/usr/lib/python3.11/http/client.py", line=7, kind=FrameKind.PYTHON)
VIEW = Frame(0, name="view", file="/srv/app/views.py", line=3, kind=FrameKind.PYTHON)
PACKAGE = Frame(0, name="call", file="/venv/lib/python3.11/site-packages/dep/a.py", line=1, kind=FrameKind.PYTHON)
UNNAMED = Frame(9, unnamed=Unnamed.UNMAPPED)
MAIN = Frame(3, "/srv/bin/shop", 0x30, name="main")
ANY = st.lists(st.sampled_from([SEND, LOOP, HTTP, VIEW, PACKAGE, UNNAMED, MAIN]), max_size=12)


def lines(*frames: Frame, choice: FrameChoice = FrameChoice()) -> list[str]:  # noqa: B008 (it is immutable)
    return list(trace_lines(chosen(StackTrace(frames), choice)))


def test_a_run_of_plumbing_is_one_line_that_says_what_it_is() -> None:
    assert lines(SEND, LOOP, HTTP, VIEW, LOOP, MAIN, LOOP, LOOP) == [
        "[3 frames of plumbing: libc.so.6, python3.11, Python libraries]",
        "view (/srv/app/views.py:3)",
        "_PyEval_EvalFrameDefault (/usr/bin/python3.11)",
        "main (/srv/bin/shop)",
        "[2 frames of plumbing: python3.11]",
    ]


def test_own_frames_alone_are_shown_with_the_number_of_the_others() -> None:
    assert lines(SEND, HTTP, VIEW, LOOP, MAIN, choice=FrameChoice(Frames.OWN)) == [
        "view (/srv/app/views.py:3)",
        "main (/srv/bin/shop)",
        "[3 frames of plumbing hidden; --frames all shows what is hidden]",
    ]


def test_a_package_is_folded_only_where_the_program_has_other_frames() -> None:
    assert lines(SEND, LOOP, PACKAGE)[-1] == "call (/venv/lib/python3.11/site-packages/dep/a.py:1)"
    assert lines(SEND, PACKAGE, MAIN) == [
        "[2 frames of plumbing: libc.so.6, Python libraries]",
        "main (/srv/bin/shop)",
    ]


@pytest.mark.parametrize("pattern", ["view", "/srv/app/*", "*/views.py"])
def test_what_is_named_own_is_own_and_nothing_else(pattern: str) -> None:
    assert lines(SEND, VIEW, MAIN, LOOP, choice=FrameChoice(Frames.FOLDED, (pattern,))) == [
        "send (/usr/lib/libc.so.6)",
        "view (/srv/app/views.py:3)",
        "[2 frames of plumbing: shop, python3.11]",
    ]


def test_a_stack_without_own_frames_is_whole_or_one_frame() -> None:
    trace = StackTrace((SEND, LOOP), incomplete=Incomplete.STACK_ENDED)
    assert chosen(trace, FrameChoice()) == trace
    (reason, frame) = shown_frames(chosen(trace, FrameChoice(Frames.OWN)))
    assert (reason.label, frame.label) == ("[incomplete: the stack copy ended]", "[plumbing]")


@given(ANY)
def test_no_frame_is_lost_whatever_is_shown(frames: Sequence[Frame]) -> None:
    trace = StackTrace(tuple(frames))
    assert chosen(trace, FrameChoice(Frames.ALL)) == trace
    for choice in (FrameChoice(), FrameChoice(Frames.OWN), FrameChoice(Frames.OWN, ("view",))):
        shown = chosen(trace, choice)
        folded = [frame.name or "" for frame in shown.frames if frame.kind is FrameKind.PLUMBING]
        left = Counter(frame for frame in shown.frames if frame.kind is not FrameKind.PLUMBING)
        assert sum(left.values()) + sum(int(name.split()[0]) for name in folded) + shown.plumbing == len(frames)
        assert left <= Counter(frames)


MAPS = (
    b"1000-2000 r-xp 00001000 fe:01 7 /usr/lib/libc.so.6\n"
    b"3000-4000 r-xp 00003000 fe:01 8 /srv/bin/shop\n"
)  # fmt: skip
LEAF_FIRST = (0x1000, 0x1010, 0x3010, 0x3020, 0x1020, 0x1030)


@pytest.mark.parametrize(
    ("arguments", "folded", "text"),
    [
        (
            (),
            "nova-api;[plumbing];shop+0x3020;shop+0x3010;[plumbing]",
            ["[2 frames of plumbing: libc.so.6]", "shop+0x3010", "shop+0x3020", "[2 frames of plumbing: libc.so.6]"],
        ),
        (
            ("--frames", "own"),
            "nova-api;shop+0x3020;shop+0x3010",
            [
                *("shop+0x3010", "shop+0x3020", "[frame pointers only, recorded without stack copies]"),
                "[4 frames of plumbing hidden; --frames all shows what is hidden]",
            ],
        ),
        (
            ("--frames", "all"),
            "nova-api;libc.so.6+0x1030;libc.so.6+0x1020;shop+0x3020;shop+0x3010;libc.so.6+0x1010;libc.so.6+0x1000",
            [f"{module}+0x{at:x}" for at in LEAF_FIRST for module in ("libc.so.6" if at < 0x3000 else "shop",)],
        ),
        (
            ("--own", "*/libc.so.6"),
            "nova-api;libc.so.6+0x1030;libc.so.6+0x1020;[plumbing];libc.so.6+0x1010;libc.so.6+0x1000",
            [
                *("libc.so.6+0x1000", "libc.so.6+0x1010"),
                "[2 frames of plumbing: shop]",
                *("libc.so.6+0x1020", "libc.so.6+0x1030"),
            ],
        ),
    ],
)
def test_all_outputs_show_the_same_frames_and_all_of_the_time(
    arguments: tuple[str, ...], folded: str, text: list[str], tmp_path: Path
) -> None:
    records: list[Record] = [process(MAPS), stack(*LEAF_FIRST)]
    (tmp_path / "run.cap").write_bytes(capture([Row(duration_ns=300 * MS)], records))

    result = run(tmp_path / "run.cap", "-o", tmp_path, "--html", tmp_path / "run.html", *arguments)
    document = json.loads(run(tmp_path / "run.cap", "--json", *arguments).stdout)

    assert result.exit_code == 0, result.output
    assert (tmp_path / "stacks.folded").read_text() == f"{folded} 300000\n"
    lines = (tmp_path / "stack_traces.txt").read_text().splitlines()
    first = lines.index("Stack trace:") + 1
    shown = lines[first : first + len(text)]
    assert [line.strip().split(" (")[0] for line in shown] == text
    (data,) = re.findall('id="data">(.*?)</script>', (tmp_path / "run.html").read_text(), re.DOTALL)
    page = json.loads(data)
    ((labels, indices, stack_id),) = page["traces"]
    assert [page["lines"][index][0] for index in indices][: len(text)] == [line.strip() for line in shown]
    assert ";".join(["nova-api", *(page["labels"][index][0] for index in labels)]) == folded
    assert (stack_id, len(document["stacks"][0]["frames"])) == (1, len(LEAF_FIRST))
