"""Commands about the session as a whole."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from bridge.control.turn import Turn
from bridge.protocol import PROTOCOL_VERSION

PROGRAM = "musicgen-rt"


def _status(turn: Turn) -> None:
    view = turn.session.view(turn.position, turn.now_ns)
    turn.done(
        view.phase,
        view.model,
        view.progress,
        view.bar,
        view.beat,
        view.bpm,
        view.lead_ms,
        view.underruns,
        view.is_fallback,
        view.steps_per_second,
        view.peak_db,
        view.following.source,
        view.following.is_locked,
        view.following.jitter_ms,
        view.following.drift_ppm,
        view.following.error_ms,
        view.beats.lock,
        view.beats.confidence,
        view.beats.late_ms,
    )


def _version(turn: Turn) -> None:
    turn.done(PROGRAM, program_version(), PROTOCOL_VERSION)


def _sync(turn: Turn, value: int) -> None:
    # Answered at once if nothing is owed.
    turn.session.owed.add_sync(turn.client, value)


def _refresh(turn: Turn) -> None:
    messages = turn.session.state.all_messages()
    for message in messages:
        turn.outcome.reply(turn.client, message.address, *message.args)
    turn.done(len(messages))


def _quit(turn: Turn) -> None:
    turn.done()
    turn.outcome.is_quit = True


def program_version() -> str:
    """The version of this program, "0" when it runs from a folder that is not installed."""
    try:
        return version(PROGRAM)
    except PackageNotFoundError:
        return "0"


HANDLERS: dict[str, Callable[..., None]] = {
    "status": _status,
    "version": _version,
    "sync": _sync,
    "refresh": _refresh,
    "quit": _quit,
}
