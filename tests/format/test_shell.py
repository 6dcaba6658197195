"""Check that bash reads a quoted path as the path itself, whatever characters it has."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcapture.shell import quoted

PATHS = st.binary(min_size=1, max_size=20).filter(lambda path: 0 not in path).map(os.fsdecode)


def words(line: str) -> list[str]:
    """Return the arguments that bash makes from the rest of a command line."""
    script = os.fsencode(f"printf '%s\\0' {line}")
    return os.fsdecode(subprocess.run(["bash", "-c", script], check=True, capture_output=True).stdout).split("\0")[:-1]


@settings(max_examples=60, deadline=None)
@given(st.lists(PATHS, min_size=1, max_size=30))
def test_bash_reads_back_every_path(paths: list[str]) -> None:
    line = " ".join(map(quoted, paths))
    assert line.isprintable()
    assert words(line) == [f"./{path}" if path.startswith("-") else path for path in paths]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/var/tmp/run.cap", "/var/tmp/run.cap"),
        ("my run.cap", "'my run.cap'"),
        ("it's.cap", "'it'\"'\"'s.cap'"),
        ("$(reboot);*.cap", "'$(reboot);*.cap'"),
        ("-o.cap", "./-o.cap"),
        ("a\nb", r"$'a\x0ab'"),
    ],
)
def test_a_quoted_path_is_as_readable_as_it_can_be(path: str, word: str) -> None:
    assert quoted(path) == word
