"""Compare two recorders, one of an older revision and one of this tree, that are attached at the same time to the same
traffic: all rows field by field, and stack copies byte by byte; with tracepoints on this machine, with fexit and
kprobes in the guest.

    sudo PYTHONPATH=recorder:bpf:format:reporter python tests/bench/bench_same_calls.py [PROBES...] [-- OPTION...]

The older revision is $OLD, by default the one before the last change to the BPF program. The options are httprec's.
Each recorder has its own probes, so times differ by the moments between these; all else must not, unless the change is
one of what a call is. A call is found by its addresses, its role, its TCP sequence number and its time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from httpcapture import Outcome, Stack, StackStatus, open_capture
from httpreport.calls.filters import Selection
from httpreport.capture.loader import load as load_recording
from httpreport.capture.recording import Recording
from vm import recorded

HERE = Path(__file__).resolve().parent
TREE = HERE.parents[1]
PROGRAM = "bpf/httpbpf"
PACKAGES = ("recorder/httprec", PROGRAM, "format/httpcapture")
SENT_ALONG = ("same_calls_driver.py", "same_calls_traffic.py", "nginx.conf")
APART_NS = {"tracepoint": 1_000_000}  # the most between two probes on a busy machine; else in the guest
APART_IN_GUEST_NS = 100_000_000  # an emulated machine stands still when its host is busy
TIMES = {"t0", "t1", "t2", "t3", "duration", "connect_time", "handshake_time"}
PLACES = {"request", "response"}  # of heads, among those of a capture
OF_A_RECORDER = {"connection", "sequence", "stack", "receive_stack", *TIMES, *PLACES}
END = ("local_address", "local_port", "peer_address", "peer_port", "role", "request_seq")
THRESHOLDS_MS = ("0", "20")


def before_last_change() -> str:
    """Return the revision before the last change to the BPF program."""
    command = ["git", "-C", str(TREE), "rev-list", "-1", "HEAD", "--", PROGRAM]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() + "^"


def packages(folder: Path, revision: str | None) -> Path:
    """Return the folder with the recorder of a revision, or of this tree for None."""
    folder.mkdir()
    for path in PACKAGES:
        if revision is None:
            shutil.copytree(TREE / path, folder / Path(path).name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            tar = subprocess.run(["git", "-C", TREE, "archive", revision, path], check=True, capture_output=True).stdout
            subprocess.run(["tar", "x", "-C", folder, "--strip-components=1"], input=tar, check=True)
    return folder


def record(job: Path, out: Path, probes: str, threshold: str, options: Sequence[str]) -> None:
    out.mkdir(parents=True)
    command = ["python3", "same_calls_driver.py", "/tmp/out", probes, threshold, "old", "new", *options]
    if probes != "tracepoint":
        recorded.run(command, job.iterdir(), out, timeout_s=900)
        return
    command[0], command[2] = sys.executable, str(out)
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run(command, cwd=job, env=environment, check=True)


def read(path: Path) -> Recording:
    with open_capture(path) as reader:
        return load_recording(reader, Selection(0))


def by_end(recording: Recording, ports: Sequence[int]) -> dict[tuple[Any, ...], list[Any]]:
    """Return the calls by END, without the host's other traffic: a connection without HTTP that is older than the
    recorders looks different to each, because they did not start at the same moment."""
    found: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for call in recording.calls[np.argsort(recording.calls["t2"])]:
        if call["local_port"] in ports or call["peer_port"] in ports:
            found[tuple(call[name].item() for name in END)].append(call)
    return found


def differ_ns(one: Any, other: Any) -> int:
    """Return by how much the times of two calls differ at most. The end of a recording is different for each
    recorder."""
    times = ["t0"] if one["outcome"] == other["outcome"] == Outcome.IN_FLIGHT else ["t0", "t2"]
    return max(abs(int(one[time]) - int(other[time])) for time in times)


def nearest(call: Any, others: Sequence[Any], apart_ns: int) -> int | None:
    """Return the place of the call that is closest in time, of those not further apart, which are in the order of t2.
    A call that was open at the end of the recording is compared with all: its t2 is different for each recorder."""
    near = []
    for place, other in enumerate(others):
        if differ_ns(call, other) <= apart_ns:
            near.append(place)
        elif int(other["t2"]) > int(call["t2"]) + apart_ns and call["outcome"] != Outcome.IN_FLIGHT:
            break
    return min(near, key=lambda place: differ_ns(call, others[place]), default=None)


def same(old: Recording, new: Recording, ports: Sequence[int], apart_ns: int) -> Iterator[tuple[Any, Any]]:
    """Return pairs of equal calls, with None for a missing one."""
    news = by_end(new, ports)
    for end, calls in by_end(old, ports).items():
        others = news.pop(end, [])
        for call in calls:
            found = nearest(call, others, apart_ns)
            yield call, None if found is None else others.pop(found)
        yield from ((None, other) for other in others)
    yield from ((None, other) for others in news.values() for other in others)


def names_of(recording: Recording) -> tuple[str, ...]:
    return recording.calls.dtype.names or ()


def stacks_of(recording: Recording) -> dict[int, Stack]:
    return {stack.id: stack for stack in recording.stacks}


def copied(stack: Stack) -> tuple[object, ...]:
    if not stack.registers:
        return (stack.frames,)
    return stack.pid, stack.process_start_ns, stack.registers, stack.memory_address, stack.memory, stack.missing_pages


Kept = tuple[str, list[object], tuple[object, ...]]
"""What both recorders have kept of a call: what it is, of each, and how to show it."""


def kept(recordings: Sequence[Recording], stacks: Sequence[dict[int, Stack]], calls: Sequence[Any]) -> Iterator[Kept]:
    for name in PLACES:
        heads = [recording.heads.texts[call[name]] for recording, call in zip(recordings, calls)]
        if all(heads):
            yield f"{name} heads", [*heads], tuple(heads)
    for side in ("stack", "receive_stack"):
        found = [of_one[int(call[side])] for of_one, call in zip(stacks, calls) if int(call[side]) in of_one]
        if len(found) == len(stacks):
            yield f"{side}s", [copied(stack) for stack in found], tuple(map(stack_text, found))


def compare(out: Path, apart_ns: int) -> None:
    old, new = read(out / "old.cap"), read(out / "new.cap")
    ports = json.loads((out / "ports.json").read_text())
    differing: Counter[str] = Counter()
    examples: dict[str, tuple[object, ...]] = {}
    counted: Counter[str] = Counter()
    stacks = stacks_of(old), stacks_of(new)
    common = sorted({*names_of(old)} & {*names_of(new)} - OF_A_RECORDER)
    for one, other in same(old, new, ports, apart_ns):
        if one is None or other is None:
            kind = "only new" if one is None else "only old"
            counted[kind] += 1
            if kind not in examples:
                examples[kind] = (text_of(one if other is None else other),)
            continue
        counted["both"] += 1
        for name in common:
            lost = name.endswith("stack_status") and StackStatus.LOST in (one[name], other[name])
            if one[name] != other[name] and not lost:
                differing[name] += 1
                if name not in examples:
                    examples[name] = (text_of(one), text_of(other))
        for what, values, texts in kept((old, new), stacks, (one, other)):
            counted[f"{what} compared"] += 1
            if values[0] != values[1]:
                differing[what] += 1
                examples.setdefault(what, texts)
    print(f"  {dict(counted)}; fields that differ: {dict(differing) or 'none'}; lost: {old.lost} {new.lost}")
    for name, example in examples.items():
        print(f"    {name}: {example}")


def text_of(call: Any) -> str:
    return ", ".join(f"{name} {call[name].item()!r}" for name in call.dtype.names)


def stack_text(stack: Stack) -> str:
    return (
        f"{len(stack.frames) // 8} frames, {len(stack.memory)} bytes from {stack.memory_address:#x}, "
        f"missing {stack.missing_pages:#b}"
    )


def main() -> None:
    words = sys.argv[1:]
    options = words[words.index("--") + 1 :] if "--" in words else []
    probes = words[: words.index("--")] if "--" in words else words
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder, "job")
        job.mkdir()
        packages(job / "old", os.environ.get("OLD") or before_last_change())
        packages(job / "new", None)
        for name in SENT_ALONG:
            shutil.copy(HERE / name, job)
        subprocess.run(
            ["gcc", "-O2", "-static", "-pthread", "-o", job / "keep_alive", HERE / "keep_alive.c"], check=True
        )
        for kind in probes or ("tracepoint", "fexit", "kprobe"):
            for threshold in THRESHOLDS_MS:
                out = Path(folder, kind, threshold)
                record(job, out, kind, threshold, options)
                print(f">> {kind}, -t {threshold} {' '.join(options)}")
                compare(out, APART_NS.get(kind, APART_IN_GUEST_NS))


if __name__ == "__main__":
    main()
