"""What the tests of benchmarks share: one headless browser for all pages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.bench.browser import Browser

os.environ["SE_OFFLINE"] = "true"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a module; the tests are skipped where none is installed."""
    from tests.bench.browser import Browser, installed

    binary, driver = installed()
    if binary is None or driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    opened = Browser(binary, driver)
    yield opened
    opened.driver.quit()
