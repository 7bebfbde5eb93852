"""The page in Chromium, against a daemon."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.bridge.daemon_rig import DaemonProcess, OscClient, free_ports
from tests.patches.browser import (
    DEADLINE_MS,
    SERVER,
    chromium,
    opened,
    served,
    set_prompt,
    surface,
    until_alone,
    until_connected,
)
from tests.patches.script import Script

expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def page(
    browser: Browser, daemon: DaemonProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """A page that is connected, for all tests that leave it so."""
    ports = daemon.ports()
    folder = tmp_path_factory.mktemp("page")
    with surface(browser, folder, ports["command"], ports["publish"]) as page:
        until_connected(page)
        yield page


def test_it_shows_the_scene_and_the_beats(page: Page) -> None:
    expect(page.locator("#prompt0")).to_have_value("warm house groove with a round bass")
    expect(page.locator("#weight0")).to_have_value("1")
    expect(page.locator("#tempo")).to_have_value("120")
    expect(page.locator("#beats i")).to_have_count(4)
    for beat in (2, 3, 4):
        expect(page.locator(f"#beats i:nth-child({beat})")).to_have_class("on")


def test_a_prompt_and_its_weight_reach_the_daemon(page: Page, ear: OscClient) -> None:
    set_prompt(page, 1, 'strings, "sul ponticello" — pp')
    ear.wait(lambda m: m[:3] == ("/mgrt/state/prompt", 1, 'strings, "sul ponticello" — pp'), 60)
    page.fill("#weight1", "0.55")
    told = ear.wait(lambda m: m[:2] == ("/mgrt/state/prompt", 1) and m[3] > 0, 60)
    assert told[3] == pytest.approx(0.55)
    expect(page.locator("#prompts output").nth(1)).to_have_text("0.55")


def test_what_another_changes_is_shown(page: Page, daemon: DaemonProcess) -> None:
    daemon.client.ask("/mgrt/prompt/set", 2, "<b>polka</b>", 0.25, seconds=60)
    expect(page.locator("#prompt2")).to_have_value("<b>polka</b>")
    expect(page.locator("#weight2")).to_have_value("0.25")


def test_a_phrase_is_played_by_mouse_and_by_typing(page: Page) -> None:
    page.click("#follow")
    expect(page.locator("#follow")).to_have_class("on")
    answer = page.locator("#answer")
    for pitch in (60, 64, 67):
        page.hover(f"#keys [data-pitch='{pitch}']")
        page.mouse.down()
        expect(answer).to_contain_text("melody/note_on: heard from beat")
        page.mouse.up()
        expect(answer).to_contain_text("melody/note_off: heard from beat")
    page.keyboard.down("h")
    expect(page.locator("#keys .down")).to_have_attribute("data-pitch", "69")
    expect(answer).to_contain_text("melody/note_on: heard from beat")
    page.keyboard.up("h")
    expect(answer).to_contain_text("melody/note_off: heard from beat")
    page.click("#follow")
    expect(page.locator("#follow")).not_to_have_class("on")


def test_the_pad_and_a_part_move_two_values_and_an_attribute(page: Page, ear: OscClient) -> None:
    page.click("#xy", position={"x": 10, "y": 10})
    ear.wait(lambda m: m[:2] == ("/mgrt/state/param", "cfg") and m[2] < 1.3, 60)
    ear.wait(lambda m: m[:2] == ("/mgrt/state/param", "temperature") and m[2] > 1.4, 60)
    page.click("#attr-drums")
    ear.wait(lambda m: m == ("/mgrt/state/attr", "drums", "on"), 60)
    expect(page.locator("#attr-drums")).to_have_class("on")


def test_a_refusal_is_shown_with_its_reason(page: Page) -> None:
    page.fill("#tempo", "5")
    page.press("#tempo", "Enter")
    expect(page.locator("#answer.refusal")).to_contain_text("20 to 999")
    page.fill("#tempo", "120")
    page.press("#tempo", "Enter")
    expect(page.locator("#answer:not(.refusal)")).to_contain_text("clock/tempo")


def test_with_wrong_ports_it_says_so_and_sends_nothing(browser: Browser, tmp_path: Path) -> None:
    commands, events, *_ = free_ports()
    with surface(browser, tmp_path, commands, events) as page:
        until_alone(page)
        page.click("#play")
        expect(page.locator("#answer.refusal")).to_contain_text("not sent: nobody answers")


def test_when_its_server_ends_the_page_says_so(
    browser: Browser, daemon: DaemonProcess, tmp_path: Path
) -> None:
    ports = daemon.ports()
    server = ExitStack()
    with server:
        url = server.enter_context(served(tmp_path, ports["command"], ports["publish"]))
        with opened(browser, url) as page:
            until_connected(page)
            server.close()
            expect(page.locator(".alone #daemon")).to_contain_text("python serve.py")


@pytest.mark.parametrize(
    ("name", "value"), [("Origin", "http://example.org"), ("Host", "example.org")]
)
def test_another_site_is_kept_out(tmp_path: Path, name: str, value: str) -> None:
    commands, events, *_ = free_ports()
    with served(tmp_path, commands, events) as url:
        request = urllib.request.Request(f"{url}/line", headers={name: value})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=60)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    commands, events, *_ = free_ports()
    with served(tmp_path, commands, events) as url:
        port = url.rpartition(":")[2]
        with Script([sys.executable, SERVER, "--port", port], tmp_path) as second:
            assert second.wait_end() == 1
    assert "take another with --port" in second.printed[-1]


NOT_COMMANDS = ("", "nothing", "[]", "{}", json.dumps(["/mgrt/clock/tempo", {}]))


@pytest.mark.parametrize("text", NOT_COMMANDS)
def test_what_is_no_command_does_no_harm(page: Page, text: str) -> None:
    page.evaluate(
        """text => new Promise((resolve) => {
            const line = new WebSocket(`ws://${location.host}/line`);
            line.onmessage = () => { line.close(); resolve(); };
            line.onopen = () => { line.send(text); line.send('["/mgrt/sync", 1]'); };
        })""",
        text,
    )
