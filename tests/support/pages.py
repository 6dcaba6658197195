"""Build a capture to try the page with, and read what the command line and the page say about it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from httpcapture import Lost, Role, StackStatus
from support.browser import Browser
from support.recordings import MS, TEXT, Row, capture, process, stack

EVIL = "</script><img src=x onerror=document.title='owned'>"
EVIL_MAPS = b"%x-%x r-xp 00000000 fe:01 77 /%s\n" % (TEXT, TEXT + 0x4000, EVIL.encode())
PROCESSES = [
    (b"nova-api", b"nova-api", Role.SERVER),
    (b"nova-api", b"pool-1", Role.CLIENT),
    (b"a[1]", b"a[1]", Role.CLIENT),
    (b"fifteen-bytes-x", b"[!n]", Role.CLIENT),
    (EVIL.encode()[:15], b"^caf\xc3\xa9-\\", Role.CLIENT),
    (b"\x1b[31m\xff;", b"", Role.UNKNOWN),
]
STACKS = {256: (TEXT + 8, TEXT + 64), 512: (TEXT + 8, TEXT + 128, TEXT + 64), 768: (TEXT + 256, TEXT + 64)}


def mixed_capture() -> bytes:
    """Return calls of several processes, threads, roles, peers and stacks. All durations differ, some by one
    nanosecond."""
    rows = [
        Row(
            duration_ns=100 * MS + (number**3 % 97) * 7_654_321 + number % 2,
            start_ns=number * 31 * MS,
            sequence=number,
            process=PROCESSES[number % 6][0],
            comm=PROCESSES[number % 6][1],
            role=PROCESSES[number % 6][2],
            peer=("10.0.0.1", "10.0.0.2", "2001:db8::7")[number % 3],
            peer_port=8000 + number % 2,
            stack=list(STACKS)[number % 3],
            stack_status=StackStatus.LOST if number % 11 == 10 else StackStatus.RECORDED,
            receive_tid=12300 + number,
            receive_stack=list(STACKS)[(number + 1) % 3],
            receive_stack_status=StackStatus.NOT_TAKEN if number % 5 else StackStatus.RECORDED,
        )
        for number in range(60)
    ]
    records: list[Any] = [process(EVIL_MAPS), *(stack(*addresses, id=id) for id, addresses in STACKS.items())]
    return capture(rows, [*records, Lost(1, {"call_ring_full": 4})], host=EVIL)


def command_line(*arguments: str | Path) -> str:
    done = ended(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_page(path: Path, data: bytes) -> Path:
    """Write a capture and, beside it, the page of all its calls (`.html`). Return the path of the capture."""
    path.write_bytes(data)
    command_line(path, "-t", "0", "--html", path.with_suffix(".html"))
    return path


def ended(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "httpreport", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def said(recorded: Path, *arguments: str) -> dict[str, Any]:
    """Return the command line's JSON, or no calls if it lists the existing values because a name matches none."""
    done = ended(recorded, "--json", *arguments)
    if done.returncode == 1 and "\nhttpreport: no call of " in f"\n{done.stderr}":
        return {"calls": []}
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def peer_of(call: dict[str, Any]) -> str:
    """Return the other end; only a client's peer has a port of its own."""
    address, port = call["destination"]["address"], call["destination"]["port"]
    if call["role"] != "client":
        return str(call["source"]["address"] if call["role"] == "server" else address)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def totals(browser: Browser) -> tuple[int, int]:
    """Return the number of calls and their total time in ns."""
    values = browser.run("return ['total-calls', 'total-time'].map((id) => document.getElementById(id).value)")
    return int(values[0]), int(values[1])


def summed(calls: list[dict[str, Any]]) -> tuple[int, int]:
    return len(calls), sum(call["duration_ns"] for call in calls)


def flame(browser: Browser) -> dict[str, Any]:
    """Return the tree that the flame graph shows: name, value (ns), children."""
    tree: dict[str, Any] = browser.run(
        """const take = ({data, children}) => ({...data, children: (children ?? []).map(take)});
        return take(d3.select("#flame").datum())"""
    )
    return tree


def stacks(node: dict[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Return each path below the root that has a weight of its own, in ns."""
    own = node["value"] - sum(child["value"] for child in node["children"])
    if own:
        yield path, own
    for child in node["children"]:
        yield from stacks(child, *path, child["name"])


def shown_frames(browser: Browser) -> list[str]:
    """Return the names of the frames that are wide enough to be visible, from the top."""
    script = """return [...document.querySelectorAll("#flame .frame:not(.fade)")]
        .map((frame) => [frame.getBoundingClientRect(), frame.getAttribute("name")])
        .filter(([box]) => box.width > 1)
        .sort(([a], [b]) => a.top - b.top || a.left - b.left).map(([, name]) => name)"""
    names: list[str] = browser.run(script)
    return names


CONTRAST = """
const channel = (c) => (c /= 255, c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const light = (text) => {
  const [red, green, blue] = text.match(/[\\d.]+/g).slice(0, 3).map(Number).map(channel);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const contrast = (...colours) => {
  const [dark, bright] = colours.map(light).sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
};
const style = (element) => getComputedStyle(element);
const paper = (element) => !element ? style(document.body).backgroundColor
  : style(element).backgroundColor.endsWith(", 0)") ? paper(element.parentElement) : style(element).backgroundColor;
const texts = [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility()
  && !element.closest("svg, .unseen, .skip, option, script")
  && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
const frames = [...document.querySelectorAll("#flame .frame")];
const pairs = [...texts.map((element) => [element, paper(element)]),
  ...frames.map((frame) => [frame.querySelector("div"), style(frame.querySelector("rect")).fill])];
return pairs.map(([element, back]) => [contrast(style(element).color, back), element.textContent.slice(0, 40)])
  .sort((a, b) => a[0] - b[0])[0];
"""  # by WCAG 2.2: 1.4.3 wants 4.5 for text of this size
