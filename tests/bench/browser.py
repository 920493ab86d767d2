"""A headless browser without a network, and what tests ask of a page in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="needs selenium, of the extra dev")

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--disable-background-networking",
)


class Browser:
    """A browser and the page that is open in it."""

    def __init__(self, binary: str, driver: str) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.driver.execute_cdp_cmd("Network.enable", {})
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)

    def resize(self, width: int, height: int = 900) -> None:
        """Set the size of what is seen of the page."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def open(self, path: Path, width: int = 1280) -> None:
        """Open a file, forget what earlier pages logged, and return when all its scripts have run.

        On a busy machine the driver may take the end of the page before for that of this one, and return too early.
        """
        self.resize(width)
        self.driver.get("about:blank")
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(path.as_uri())
        loaded = "return location.href === arguments[0] && document.readyState === 'complete'"
        patient = WebDriverWait(self.driver, 60, ignored_exceptions=[WebDriverException])
        patient.until(lambda _: self.run(loaded, path.as_uri()))

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns that runs in the page."""
        return self.driver.execute_script(script, *arguments)

    def find(self, css: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def texts(self, css: str) -> list[str]:
        """Return the texts of all elements, hidden ones as well, spaces evened out."""
        found = self.run("return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)", css)
        return [" ".join(text.split()) for text in found]

    def choose(self, list_id: str, value: str) -> None:
        """Choose a value of a list, as a user's choice."""
        self.find(f"#{list_id} option[value='{value}']").click()

    def pictures(self) -> list[str]:
        """Return the ids of all pictures."""
        return self.run("return [...document.querySelectorAll('.picture')].map((each) => each.id)")

    def traces(self, picture: str) -> list[dict[str, Any]]:
        """Scroll to a picture and return its traces once it is up to date."""
        script = "const it = document.getElementById(arguments[0]); it.scrollIntoView({block: 'center'}); return it.id"
        self.run(script, picture)
        ready = "const it = document.getElementById(arguments[0]); return Boolean(it.data) && !it.picture.stale"
        WebDriverWait(self.driver, 60).until(lambda _: self.run(ready, picture))
        keys = "({meta, name, x, y, mode, fill, type, hovertext})"
        return self.run(f"return document.getElementById(arguments[0]).data.map({keys} => {keys})", picture)

    def errors(self) -> list[str]:
        """Return what the page has logged that is not a mere hint."""
        hints = "willReadFrequently"
        return [line["message"] for line in self.driver.get_log("browser") if hints not in line["message"]]

    def requests(self) -> list[str]:
        """Return the addresses that the page has asked for."""
        messages = [json.loads(line["message"])["message"] for line in self.driver.get_log("performance")]
        sent = [message for message in messages if message["method"] == "Network.requestWillBeSent"]
        return [message["params"]["request"]["url"] for message in sent]


def installed() -> tuple[str | None, str | None]:
    """Return where the browser and its driver are installed, as far as they are; neither is ever fetched."""
    return next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
