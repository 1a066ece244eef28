"""A real Chromium that opens the dashboard: on a phone, in the dark, with everything that it complains of."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, Request, ViewportSize, sync_playwright

CHROMIUM_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
LIVE_WITHIN_MS = 20_000
PHONE: ViewportSize = {"width": 390, "height": 844}
PAGE_BYTES_BEYOND_THE_CHARTS = 300_000
CHART_LIBRARY = "echarts"


def chromium() -> str:
    """The path of Debian's Chromium. Its absence fails: the page must not go unseen."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "install chromium: the dashboard is tested in a real browser"
    return found


@contextmanager
def browsing() -> Iterator[tuple[Page, list[str], dict[str, int]]]:
    """A page, the problems that it reports, and the bytes of each file that it loads."""
    problems: list[str] = []
    sizes: dict[str, int] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_FLAGS))
        page = browser.new_page(viewport=PHONE, color_scheme="dark", timezone_id="UTC")
        page.on("console", lambda message: problems.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: problems.append(str(error)))

        def weigh(request: Request) -> None:
            sizes[request.url] = request.sizes()["responseBodySize"]

        page.on("requestfinished", weigh)
        yield page, problems, sizes
        page.remove_listener("requestfinished", weigh)  # a live page asks on: nobody weighs what comes while it closes
        browser.close()


def beyond_a_pause(problems: list[str]) -> list[str]:
    """What the page complains of, but that a service was away for a moment (503): it asks again."""
    return [problem for problem in problems if "503" not in problem]


def bytes_beyond_the_charts(sizes: dict[str, int]) -> int:
    """What the page weighs without the chart library and without its data."""
    return sum(size for url, size in sizes.items() if not re.search(rf"{CHART_LIBRARY}|/admin/", url))


def text_of(page: Page, selector: str) -> str:
    """What the page says in one place."""
    return str(page.locator(selector).inner_text())


def fits_the_screen(page: Page) -> bool:
    """Whether nothing sticks out to the side."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))
