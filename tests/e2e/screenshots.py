"""`python -m tests.e2e.screenshots DIRECTORY`: pictures of the running stack's dashboard for the docs: light, dark, a phone's.

The stack is that of TOLLBOOK_HOME (or .tollbook); show it some traffic first (`make demo`). The token of the stack is typed
into the page as anybody does.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from deploy.local.home import Home, read_json

SIZES: dict[str, tuple[int, int, Literal["light", "dark"]]] = {
    "dashboard": (1280, 900, "light"),
    "dashboard-dark": (1280, 900, "dark"),
    "dashboard-phone": (390, 844, "dark"),
}
SETTLED_MS = 1500


def main(directory: Path) -> None:
    """Take every picture."""
    stack = read_json(Home(Path(os.environ.get("TOLLBOOK_HOME", ".tollbook"))).stack_file)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    directory.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"])
        for name in SIZES:
            _take(browser, stack["analytics_url"], stack["admin_token"], name, directory / f"{name}.png")
        browser.close()


def _take(browser: Browser, url: str, token: str, name: str, target: Path) -> None:
    width, height, scheme = SIZES[name]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(f"{url}/dashboard#15m")
    page.fill("#token", token)
    page.click("#token-form button")
    page.wait_for_selector("#keys tbody tr")
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=target, full_page=width > height)
    page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
