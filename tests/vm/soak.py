"""Make as many calls as the guest can (`make soak`): the recorder's memory must stay flat, and its ledger exact."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vm import guest, recorded

MIB = 1 << 20
GROWTH = 1.05  # of the peak in the second half over that at the end of the first


def soak(seconds: float) -> int:
    """Print the results, and return 0 if they are as required, else 1."""
    with TemporaryDirectory() as folder:
        out = Path(folder)
        command = ["python3", "-m", "vm.soak_driver", str(seconds)]
        sources = [Path(__file__).parent, recorded.TESTS / "workload"]
        recorded.run(command, sources, out, timeout_s=seconds + guest.MOST_S, verbose=True)
        seen = json.loads((out / "soak.json").read_text())
    for sample in seen["samples"]:
        sizes = ", ".join(f"{name} {sample[name] / MIB:.1f} MiB" for name in ("resident", "peak", "kernel"))
        print(f"{sample['at']:7.1f} s: {sample['calls']:9,} calls, {sizes}")
    problems = list(wrong(seen))
    print(seen["said"].strip(), *problems, sep="\n")
    return 1 if problems else 0


def number(text: str) -> int:
    return int(text.replace(",", ""))


def wrong(seen: dict[str, Any]) -> list[str]:
    """Return a line for each result that is not as required."""
    found = []
    if seen["exit_code"] != 0:
        found.append(f"the recorder ended with status {seen['exit_code']}")
    summary = re.search(r"^([\d,]+) calls, (.*), [\d,]+ processes", seen["said"], re.MULTILINE)
    if not summary:
        return [*found, "the recorder said nothing at its end"]
    lost = {cause: number(count) for cause, count in re.findall(r"(\w+) ([\d,]+)", summary[2])}
    missing = 2 * seen["calls"] - number(summary[1]) - lost.get("call_ring_full", 0)
    if not 0 <= missing <= lost.get("probe_missed", 0):
        found.append(f"the ledger is wrong: {missing} of {2 * seen['calls']} calls are neither recorded nor lost")
    middle, last = seen["samples"][len(seen["samples"]) // 2], seen["samples"][-1]
    if last["peak"] > GROWTH * middle["peak"]:
        found.append(f"memory grows: its peak was {middle['peak']} bytes in the middle, {last['peak']} at the end")
    if len({sample["kernel"] for sample in seen["samples"]}) > 1:
        found.append("the kernel's memory for it changes")
    return found
