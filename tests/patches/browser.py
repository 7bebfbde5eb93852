"""The page in a real browser, Debian's Chromium without a window, driven by Playwright."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

from tests.patches.script import Script, endpoints
from tests.programs import requires_program

SERVER: Final = Path(__file__).resolve().parents[2] / "patches" / "browser" / "serve.py"
DEADLINE_MS: Final = 60_000
# Chromium's own sandbox does not work for root, nor in most containers.
FLAGS: Final = ("--no-sandbox", "--disable-dev-shm-usage")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser. Playwright allows one at a time, and no asyncio beside it in this thread."""
    program = requires_program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, url: str, size: tuple[int, int] = (1240, 760)) -> Iterator[Page]:
    """A page of some server. An error in its scripts fails the test that used it."""
    errors: list[str] = []
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    try:
        page.set_default_timeout(DEADLINE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        yield page
    finally:
        page.close()
    assert not errors


@contextmanager
def served(folder: Path, commands: int, events: int, *more: str) -> Iterator[str]:
    """Our page's server beside a daemon with these ports; the address of the page."""
    words: Sequence[str | Path] = [
        *(sys.executable, SERVER, "--port", "0"),
        *endpoints(commands, events),
        *more,
    ]
    with Script(words, folder) as server:
        yield server.wait_for("open http").split()[1]


@contextmanager
def surface(browser: Browser, folder: Path, commands: int, events: int) -> Iterator[Page]:
    """Our page, open."""
    with served(folder, commands, events) as url, opened(browser, url) as page:
        yield page


def until_connected(page: Page) -> None:
    """Wait until the page has found the daemon."""
    page.locator("body:not(.alone)").wait_for()


def until_alone(page: Page) -> None:
    """Wait until the page says that nobody is there, and what to do."""
    page.locator(".alone #daemon", has_text="start the daemon with musicgen-rt jam").wait_for()


def set_prompt(page: Page, slot: int, text: str) -> None:
    """Type a prompt and wait until the page shows from which beat it is heard."""
    page.fill(f"#prompt{slot}", text)
    page.press(f"#prompt{slot}", "Enter")
    page.locator("#answer", has_text="prompt/set: heard from beat").wait_for()
