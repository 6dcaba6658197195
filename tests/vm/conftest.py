"""Define the fixtures of all tests that boot a guest."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def root() -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: cannot build a guest")
