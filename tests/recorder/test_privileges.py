"""Check that dropped privileges are gone, for executed programs too, and that needed ones are kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import environment

# capabilities(7), include/uapi/linux/capability.h
READ_SEARCH, PTRACE, ADMIN, BPF, RESTORE = 1 << 2, 1 << 19, 1 << 21, 1 << 39, 1 << 40
NEEDED = READ_SEARCH | PTRACE | RESTORE
# Drops, where BPF maps can be read without cap_bpf or not, and becomes cat, which is executed by root.
DROP = """
import os, sys
from httprec import privileges
seen = []
def reads_maps():
    seen.append([line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")])
    return sys.argv[1] == "yes"
privileges.drop(reads_maps)
assert len(seen) == 1 and not int(seen[0][0], 16) & 1 << 39, seen
os.execvp("cat", ["cat", "/proc/self/status"])
"""


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: there is nothing to give up")


def after_drop(reads_maps: str, *before: str) -> dict[str, int]:
    command = [*before, sys.executable, "-c", DROP, reads_maps]
    done = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True)
    lines = dict(line.split(":", 1) for line in done.stdout.splitlines())
    return {name: int(lines[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "NoNewPrivs")}


@pytest.mark.parametrize(("reads_maps", "kept"), [("yes", NEEDED), ("no", NEEDED | BPF)])
def test_only_what_is_needed_is_kept_by_what_is_executed_too(reads_maps: str, kept: int) -> None:
    assert after_drop(reads_maps) == {"CapPrm": kept, "CapEff": kept, "CapBnd": kept, "NoNewPrivs": 1}


def test_cap_sys_admin_is_kept_where_it_stands_for_what_is_needed() -> None:
    kept = READ_SEARCH | PTRACE | ADMIN
    after = after_drop("yes", "setpriv", "--bounding-set=-checkpoint_restore")
    assert after == {"CapPrm": kept, "CapEff": kept, "CapBnd": kept, "NoNewPrivs": 1}


def test_nothing_is_gained_where_the_bounding_set_cannot_be_changed() -> None:
    after = after_drop("yes", "setpriv", "--bounding-set=-setpcap")
    assert after["CapPrm"] == after["CapEff"] == NEEDED
    assert after["NoNewPrivs"] == 1


# Makes a part for the user behind sudo and removes it, with what is kept for that or without.
MAKE_AND_REMOVE = """
import os, sys
from httprec import privileges
from httprec.output import open_output, remove
privileges.drop(lambda: True, privileges.TO_ROTATE if sys.argv[1] == "rotates" else ())
open_output("part", replace=False).close()
print(os.stat("part").st_uid)
remove("part")
"""


@pytest.mark.parametrize(("rotates", "said"), [("rotates", "65534\n"), ("does not", "")])
def test_parts_can_be_made_and_removed_in_a_users_folder(tmp_path: Path, rotates: str, said: str) -> None:
    """The folder may be sticky, as /tmp is: only the owner of a file may delete it there."""
    os.chown(tmp_path, 65534, 65534)
    tmp_path.chmod(0o1755)
    variables = {**environment(), "SUDO_UID": "65534", "SUDO_GID": "65534"}
    command = [sys.executable, "-c", MAKE_AND_REMOVE, rotates]
    done = subprocess.run(command, cwd=tmp_path, env=variables, check=False, capture_output=True, text=True)
    assert (done.stdout, done.returncode == 0) == (said, bool(said)), done.stderr
    assert not os.listdir(tmp_path)
