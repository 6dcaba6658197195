"""Define the fixtures of all tests of pages; use them with `pytest_plugins = "support.browser_fixtures"`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from support.browser import CHROMIUM, DRIVER, Browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not (shutil.which(CHROMIUM) and shutil.which(DRIVER)):
        pytest.skip("chromium and chromium-driver are not installed")
    browser = Browser()
    yield browser
    browser.driver.quit()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Yield a browser, and check at the end that the page asked for nothing and reported no error."""
    yield chromium
    assert not chromium.messages()
    assert {url.split("?")[0].split("#")[0] for url in chromium.requests()} == {
        chromium.driver.current_url.split("#")[0]
    }
