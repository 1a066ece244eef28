"""`python -m tests.e2e.screenshots DIRECTORY`: pictures of the running stack's dashboard for the docs: light, dark, a phone's,
a list of requests, and the receipt of one of which an attempt failed.

The stack is that of TOLLBOOK_HOME (or .tollbook); show it some traffic first (`make demo`). The token of the stack is typed
into the page as anybody does.
"""

import os
import sys
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page, sync_playwright

from deploy.local.home import Home, read_json
from tests.browser import CHROMIUM_FLAGS, chromium

SIZES: dict[str, tuple[int, int, Literal["light", "dark"]]] = {
    "dashboard": (1280, 900, "light"),
    "dashboard-dark": (1280, 900, "dark"),
    "dashboard-phone": (390, 844, "dark"),
}
SETTLED_MS = 1500


def main(directory: Path) -> None:
    """Take every picture."""
    stack = read_json(Home(Path(os.environ.get("TOLLBOOK_HOME", ".tollbook"))).stack_file)
    directory.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_FLAGS))
        for name, (width, height, scheme) in SIZES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            _sign_in(page, stack)
            _take(page, directory / f"{name}.png", whole=width > height)
            if name == "dashboard":
                _drill(page, directory)
            page.close()
        browser.close()


def _sign_in(page: Page, stack: dict[str, Any]) -> None:
    page.goto(f"{stack['analytics_url']}/dashboard#15m")
    page.fill("#token", stack["admin_token"])
    page.click("#token-form button")
    page.wait_for_selector("#keys tbody tr")


def _drill(page: Page, directory: Path) -> None:
    """From all requests to those that failed on a channel, and to the receipt of the newest of these."""
    page.click("#requests-all")
    page.wait_for_selector("#requests-list tbody tr")
    _take(page, directory / "dashboard-requests.png", whole=False)
    page.goto(f"{page.url}&failed_on=openai-main")
    page.wait_for_selector("#narrowed a")
    page.click("#requests-list tbody tr:first-child a")
    page.wait_for_selector("#receipt-attempts")
    _take(page, directory / "dashboard-receipt.png", whole=True)


def _take(page: Page, target: Path, *, whole: bool) -> None:
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=target, full_page=whole)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
