"""The live view: what a performer wants to see at a glance.

Pure functions make lines of a view of the session; `LiveView` says when they are shown, and
`terminal.py` puts them on the screen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bridge.control.session_view import SessionView
from bridge.log import one_line
from bridge.settings import LogConfig
from bridge.terminal import Terminal

LOWEST_LEVEL_DB: Final = -48.0
LEAD_SHOWN_MS: Final = 4000.0
BAR_CELLS: Final = 12

_log = logging.getLogger("mgrt.jam")


@dataclass(frozen=True)
class Symbols:
    """The characters of the view; ASCII for terminals without more."""

    playing: str
    stopped: str
    loading: str
    full: str
    empty: str


UNICODE: Final = Symbols("▶", "■", "…", "█", "·")
ASCII: Final = Symbols(">", "#", "~", "=", ".")


class LiveView:
    """Shows a session again and again: drawn in a terminal, elsewhere a line now and then.

    [control]; `clock` gives seconds.
    """

    def __init__(
        self,
        terminal: Terminal,
        config: LogConfig,
        footer: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terminal = terminal
        self._is_drawn = config.view and terminal.is_terminal
        self._line_seconds = config.line_seconds
        self._footer = footer
        self._symbols = UNICODE if terminal.has_unicode else ASCII
        self._clock = clock
        self._next_line = 0.0
        self._last_phase = ""

    def show(self, view: SessionView) -> None:
        """Show what holds now."""
        if self._is_drawn:
            self._terminal.foot(view_lines(view, footer=self._footer, symbols=self._symbols))
            return
        now = self._clock()
        # A new phase is news at once.
        is_due = now >= self._next_line or view.phase != self._last_phase
        if self._line_seconds and is_due:
            self._next_line = now + self._line_seconds
            self._last_phase = view.phase
            _log.info("%s", plain_line(view))


def view_lines(view: SessionView, *, footer: str, symbols: Symbols = UNICODE) -> list[str]:
    """The lines of the live view: transport, level, prompts, and where to send what."""
    return [
        "",
        f" {_transport(view, symbols)}   {_output(view, symbols)}",
        *(_prompt(symbols, *prompt) for prompt in view.prompts),
        f" {one_line(_notes(view))}",
        f" {footer}",
    ]


def plain_line(view: SessionView) -> str:
    """The view on one line, for a log: no drawing."""
    if view.phase == "loading":
        return f"loading {view.model}: {view.progress:.0%} {view.progress_text}"
    weights = ", ".join(f"{text} ({weight:g})" for _, text, weight in view.prompts)
    return (
        f"{view.phase} {view.bar}:{view.beat}, {view.bpm:g} bpm, lead {view.lead_ms:.0f} ms, "
        f"underruns {view.underruns}, level {_decibels(view.rms_db)}"
        f"{', LOOPING the last bars' if view.is_fallback else ''}; {weights or 'no prompt'}"
    )


def meter(part: float, cells: int, symbols: Symbols) -> str:
    """A bar that is filled to `part` of its length."""
    full = round(max(0.0, min(1.0, part)) * cells)
    return symbols.full * full + symbols.empty * (cells - full)


def _transport(view: SessionView, symbols: Symbols) -> str:
    sign = {"playing": symbols.playing, "loading": symbols.loading}.get(view.phase, symbols.stopped)
    if view.phase == "loading":
        bar = meter(view.progress, BAR_CELLS, symbols)
        return f"{sign} loading {bar} {view.progress:4.0%} {one_line(view.progress_text)}"
    place = f"{view.bar}:{view.beat}"
    return f"{sign} {place:>7}  {view.bpm:6.1f} bpm {view.beats_per_bar}/bar"


def _output(view: SessionView, symbols: Symbols) -> str:
    level = (view.peak_db - LOWEST_LEVEL_DB) / -LOWEST_LEVEL_DB
    lead = meter(view.lead_ms / LEAD_SHOWN_MS, BAR_CELLS // 2, symbols)
    muted = " muted" if view.is_muted else ""
    return (
        f"level {meter(level, BAR_CELLS, symbols)} {_decibels(view.rms_db):>9}{muted}   "
        f"lead {lead} {view.lead_ms:5.0f} ms   underruns {view.underruns}"
    )


def _prompt(symbols: Symbols, slot: int, text: str, weight: float) -> str:
    share = meter(weight, BAR_CELLS // 2, symbols)
    return f"   {slot} {share} {weight:5.2f}  {one_line(text)}"


def _notes(view: SessionView) -> str:
    notes = [view.model, f"{view.steps_per_second:.0f} steps/s"]
    if view.device:
        notes.append(f"to {view.device}")
    if view.is_fallback:
        notes.append("LOOPING THE LAST BARS")
    if view.recording:
        notes.append(f"recording {view.recording}")
    if view.gain_db:
        notes.append(f"gain {view.gain_db:+.1f} dB")
    if view.latency_p95_ms:
        notes.append(f"knob to ear {view.latency_p50_ms:.0f} ms")
    return "  |  ".join(notes)


def _decibels(level_db: float) -> str:
    return "silent" if level_db <= -100 else f"{level_db:.1f} dB"
