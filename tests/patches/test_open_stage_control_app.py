"""The session in Open Stage Control, with its page in Chromium, against a daemon.

No package registry has Open Stage Control: the test is skipped without it, in CI too.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.bridge.daemon_rig import DaemonProcess, OscClient, free_ports
from tests.patches.browser import DEADLINE_MS, chromium, opened
from tests.patches.conftest import TONE
from tests.patches.script import Script

PROGRAM = shutil.which("open-stage-control")
pytestmark = [
    pytest.mark.skipif(
        PROGRAM is None,
        reason="open-stage-control is not on PATH, and in no package registry: install it by hand",
    ),
    pytest.mark.timeout(400),
]
SESSION = Path(__file__).resolve().parents[2] / "patches/open-stage-control/musicgen-rt.json"
expect.set_options(timeout=DEADLINE_MS)


def tap(page: Page, label: str) -> None:
    """Touch a button by what is written on it."""
    page.locator(".button-container").filter(has_text=label).first.click()


def plays(page: Page, ear: OscClient, prompt: str) -> None:
    """Go through the surface with a daemon behind it."""
    readouts = page.locator(".text-container")
    expect(readouts.filter(has_text="connected, playing")).to_be_visible()
    ear.send("/mgrt/notify", 1)
    tap(page, "drums off")
    ear.wait(lambda m: m == ("/mgrt/state/attr", "drums", "off"), 60)
    page.locator(".input-container").nth(1).click()
    page.keyboard.press("Control+A")
    page.keyboard.type(prompt)
    page.keyboard.press("Enter")
    ear.wait(lambda m: m[:3] == ("/mgrt/state/prompt", 1, prompt), 60)
    tap(page, "follow")
    ear.wait(lambda m: m[:2] == ("/mgrt/state/melody", "follow"), 60)
    page.locator(".keyboard-container .white").first.click()
    expect(readouts.filter(has_text="/mgrt/melody/note_on,")).to_be_visible()
    expect(readouts.filter(has_text=",2,120")).to_be_visible()
    expect(readouts.filter(has_text=",3,120")).to_be_visible()
    page.locator(".input-container").nth(1).click()  # leaves the field again
    page.keyboard.press("Escape")


def test_it_plays_the_daemon_and_finds_it_again(tmp_path: Path) -> None:
    http, osc, *_ = free_ports()
    ports = free_ports()
    words = [str(PROGRAM), "--no-gui", "--send", f"127.0.0.1:{ports[0]}", "--load", str(SESSION)]
    words += ["--port", str(http), "--osc-port", str(osc)]
    with ExitStack() as stack:
        server = stack.enter_context(Script(words, tmp_path, {"HOME": str(tmp_path)}))
        server.wait_for("Server started")
        browser = stack.enter_context(chromium())
        page = stack.enter_context(opened(browser, f"http://127.0.0.1:{http}/"))
        for turn in ("first", "second"):
            alone = page.locator(".text-container").filter(has_text="start the daemon with")
            expect(alone).to_be_visible()
            (tmp_path / turn).mkdir()
            flags = ("--output", "null")
            with DaemonProcess(tmp_path / turn, *flags, module=TONE, ports=ports) as daemon:
                ear = OscClient(daemon.ports()["osc"])
                plays(page, ear, f"string quartet, {turn}")
                ear.close()
