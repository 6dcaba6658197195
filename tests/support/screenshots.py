"""Make the pictures in README.md and docs/page.md from a capture (the demo's):

PYTHONPATH=reporter:format:tests python tests/support/screenshots.py build/demo/run.cap docs
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from support.browser import Browser
from support.pages import command_line


def main() -> None:
    capture, folder = map(Path, sys.argv[1:])
    folder.mkdir(exist_ok=True)
    browser = Browser()
    with tempfile.TemporaryDirectory() as work:
        page = Path(work) / "report.html"
        command_line(capture, "--html", page)
        browser.open(page, height=960)
        browser.enter("#threshold", "355")
        browser.run("document.activeElement.blur()")
        browser.screenshot(folder / "page.png")

        browser.open(page, height=900)
        browser.click("#calls-table .open")
        browser.run("document.activeElement.blur()")
        browser.screenshot(folder / "waterfall.png", "#calls", height=640)

        browser.open(page, width=900, scheme="dark")
        browser.enter("#process", "n*")
        browser.enter("#flame-search", "send")
        browser.run(
            "document.activeElement.blur(); document.getElementById('more-filters').open = false;"
            "document.getElementById('filters').style.position = 'static'"
        )
        browser.screenshot(folder / "flame-graph.png", "section:has(#flame)")

        browser.open(page, width=390, height=1000)
        browser.click("#calls-table .open")
        browser.run("document.activeElement.blur()")
        browser.screenshot(folder / "phone.png", "#calls", height=1000)
    browser.driver.quit()


if __name__ == "__main__":
    main()
