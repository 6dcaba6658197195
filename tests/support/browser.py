"""Drive a page in headless Chromium as a person would, by WebDriver (Debian's chromium and chromium-driver)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from workload.waiting import HANG_S

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
# What shows a filter runs in an animation frame; it was asked for before this one.
NEXT_FRAME = "const done = arguments[arguments.length - 1]; requestAnimationFrame(() => setTimeout(done));"


class Browser:
    """Drive one tab. `messages` and `requests` are those since the last `open`."""

    def __init__(self) -> None:
        options = ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
            options.add_argument(argument)
        if os.getuid() == 0:
            options.add_argument("--no-sandbox")  # Chromium refuses root otherwise
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = Chrome(options=options, service=ChromeService(DRIVER))
        self.driver.set_script_timeout(HANG_S)

    def open(self, page: Path, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.resize(width, height)
        self.messages(), self.requests()
        self.driver.get(page.absolute().as_uri())
        self.wait("return document.documentElement.dataset.ready")

    def resize(self, width: int, height: int) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def command(self, name: str, **parameters: Any) -> dict[str, Any]:
        """Run a command of the DevTools protocol and return its result."""
        done: dict[str, Any] = self.driver.execute_cdp_cmd(name, parameters)
        return done

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str) -> None:
        """Wait until the script returns a true value."""
        WebDriverWait(self.driver, HANG_S, 0.02).until(lambda _: self.run(script))

    def settle(self) -> None:
        """Wait until the page shows what was entered."""
        self.driver.execute_async_script(NEXT_FRAME)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        found = self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector)
        return [str(text) for text in found]

    def enter(self, selector: str, text: str) -> None:
        """Replace the text of a field, which may be in a panel that is closed."""
        field = self.find(selector)
        self.run("const [field] = arguments, panel = field.closest('details'); if (panel) panel.open = true;"
                 "field.select()", field)  # fmt: skip
        field.send_keys(text or "\ue017")  # Delete
        self.settle()

    def press(self, selector: str, *keys: str) -> None:
        self.find(selector).send_keys(*keys)
        self.settle()

    def click(self, selector: str) -> None:
        element = self.find(selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        self.settle()

    def messages(self) -> Sequence[str]:
        """Return the messages on the console."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def requests(self) -> Sequence[str]:
        """Return the addresses that the page asked for."""
        log = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        events = [json.loads(entry["message"])["message"] for entry in log]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]

    def screenshot(self, path: Path, selector: str | None = None, height: int | None = None) -> None:
        """Save a picture of the window, or of the part below the top of an element, with the given height."""
        clip = {}
        if selector:
            box = self.run(
                "const box = document.querySelector(arguments[0]).getBoundingClientRect();"
                "return [scrollX, scrollY + box.top - 12, innerWidth, box.height + 24]",
                selector,
            )
            clip = {"clip": {**dict(zip(("x", "y", "width", "height"), box)), "scale": 1}}
            clip["clip"]["height"] = height or clip["clip"]["height"]
        picture = self.command("Page.captureScreenshot", captureBeyondViewport=bool(selector), **clip)
        path.write_bytes(base64.b64decode(picture["data"]))
