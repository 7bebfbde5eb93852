"""What dies under a performer: for how long that is heard, and how soon all is well again.

A daemon plays into a JACK server. Its engine is killed, then hung; its playout is killed; then the
server, which comes back; in the end the daemon is told to go. All times are seen from outside: in
what the ear has recorded, in the daemon's status, in its log.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from musicgen_rt.evaluate.jack_recording import JackRecording, Samples
from musicgen_rt.evaluate.jack_server import PERIOD_FRAMES, JackServer
from musicgen_rt.evaluate.stage import machine_name
from musicgen_rt.evaluate.stage_daemon import StageDaemon
from musicgen_rt.evaluate.stage_processes import parts_of
from musicgen_rt.evaluate.stage_sound import holes_of

Progress = Callable[[str, int, int], None]

_WELL_LEAD_MS = 1000.0
_PATIENCE_SECONDS = 60.0
# The level of a first sample that one may call music.
_SOUND = 0.01


@dataclass(frozen=True)
class RecoverySettings:
    """What is played, and how often it is harmed."""

    folder: Path
    model: str = "pocket"
    rounds: int = 5
    threads: int | None = None
    weights: str = "auto"
    period_frames: int = PERIOD_FRAMES


@dataclass(frozen=True)
class Round:
    """One daemon's life, in seconds; *_silence is the longest stretch of nothing that was heard."""

    status: float
    first_sound: float
    engine_killed_silence: float
    engine_killed_live: float
    engine_hung_silence: float
    engine_hung_live: float
    playout_killed_sound: float
    server_killed_seen: float
    server_back_sound: float
    end: float
    exit_code: int


# The longest that each may take, in seconds. Silence is beyond one period of the sound card.
TARGETS: Final = {
    "status": 1.0,
    "first_sound": 5.0,
    "engine_killed_silence": 0.0,
    "engine_killed_live": 10.0,
    "engine_hung_silence": 0.0,
    "engine_hung_live": 10.0,
    "server_killed_seen": 0.25,
    "server_back_sound": 1.0,
    "end": 2.0,
    "exit_code": 0.0,
}


def evaluate_recovery(settings: RecoverySettings, progress: Progress) -> dict[str, Any]:
    """Harm and watch; the report as JSON, its `complaints` empty if all came back in time.

    Raises UnsupportedError without jackd or its client library, MusicgenRTError if something does
    not come back at all.
    """
    rounds = []
    for number in range(settings.rounds):
        progress("recovery", number, settings.rounds)
        with JackServer(period_frames=settings.period_frames) as server:
            rounds.append(_round(settings, server))
    progress("recovery", settings.rounds, settings.rounds)
    period_seconds = settings.period_frames / server.rate_hz
    names = [one.name for one in fields(Round)]
    return {
        "model": settings.model,
        "period_frames": settings.period_frames,
        "machine": machine_name(),
        "complaints": complaints_of(rounds, period_seconds),
        "targets": TARGETS,
        **{name: _spread([getattr(one, name) for one in rounds]) for name in names},
        "rounds": [asdict(one) for one in rounds],
    }


def complaints_of(rounds: list[Round], period_seconds: float) -> list[str]:
    """What took longer than its target, in words."""
    found = []
    for name, most in TARGETS.items():
        allowed = most + period_seconds if name.endswith("_silence") else most
        worst = _worst([getattr(one, name) for one in rounds])
        if abs(worst) > allowed:
            found.append(f"{name} was {worst:.2f}, at most {allowed:.2f} wanted")
    return found


def _round(settings: RecoverySettings, server: JackServer) -> Round:
    arguments = ["--output", "jack", "--model", settings.model, "--weights", settings.weights]
    if settings.threads is not None:
        arguments += ["--threads", str(settings.threads)]
    with StageDaemon(settings.folder, *arguments, environment=server.environment) as daemon:
        daemon.until(lambda: daemon.client.status() is not None, _PATIENCE_SECONDS, "a status")
        status = time.monotonic() - daemon.started_seconds
        with JackRecording(server) as ear:
            first_sound = daemon.until_playing()
            ear.wait_for_sound()
            killed = _harm_engine(daemon, ear, signal.SIGKILL)
            hung = _harm_engine(daemon, ear, signal.SIGSTOP)
            playout = _kill_playout(daemon, ear)
        seen, back = _kill_server(daemon, server)
        _until_well(daemon)
        end = daemon.end()
        code = daemon.process.returncode
    return Round(status, first_sound, *killed, *hung, playout, seen, back, end, code)


def _until_well(daemon: StageDaemon) -> None:
    """Wait for music of the engine's own, well ahead of what is heard."""

    def is_well() -> bool:
        status = daemon.client.status()
        return (
            status is not None
            and status.phase == "playing"
            and not status.is_fallback
            and status.lead_ms > _WELL_LEAD_MS
        )

    daemon.until(is_well, _PATIENCE_SECONDS, "music as before")


def _harm_engine(daemon: StageDaemon, ear: JackRecording, number: int) -> tuple[float, float]:
    """Send the engine a signal: the longest silence, and when another one plays live."""
    _until_well(daemon)
    began, began_frame = time.monotonic(), ear.end_frame
    engines = len(_ready_engines(daemon))
    _kill(daemon, "engine", number)
    # What the last one has left behind is still played meanwhile.
    daemon.until(lambda: len(_ready_engines(daemon)) > engines, _PATIENCE_SECONDS, "another engine")
    _until_well(daemon)
    live = time.monotonic() - began
    # Without what JACK itself has dropped.
    heard = [stretch.samples for stretch in ear.stretches(began_frame)]
    return max((_longest_silence(one, ear.rate_hz) for one in heard), default=0.0), live


def _kill_playout(daemon: StageDaemon, ear: JackRecording) -> float:
    """Kill what plays: until another one is heard."""
    playouts = len(_ready_playouts(daemon))
    began = time.monotonic()
    _kill(daemon, "playout", signal.SIGKILL)
    # What JACK has of a client that has died may sound until it is taken out of the graph.
    daemon.until(
        lambda: len(_ready_playouts(daemon)) > playouts, _PATIENCE_SECONDS, "another playout"
    )
    end_frame = ear.end_frame + ear.rate_hz // 10
    ear.wait(lambda: ear.end_frame >= end_frame, _PATIENCE_SECONDS, "anything")
    ear.wait_for_sound(_PATIENCE_SECONDS)
    return time.monotonic() - began


def _kill_server(daemon: StageDaemon, server: JackServer) -> tuple[float, float]:
    """Kill the sound server and start it: when that is seen, and when music is heard again."""
    lost, readies = len(daemon.events("device_lost")), len(daemon.events("ready"))
    began = time.monotonic()
    server.kill()
    daemon.until(
        lambda: len(daemon.events("device_lost")) > lost, _PATIENCE_SECONDS, "word of the loss"
    )
    seen = time.monotonic() - began
    daemon.until(
        lambda: any(one.get("reason") for one in daemon.events("ready")[readies:]),
        _PATIENCE_SECONDS,
        "word that there is no sound",
    )
    server.start()
    began = time.monotonic()
    with JackRecording(server) as ear:
        ear.wait(lambda: ear.first_over(_SOUND) is not None, _PATIENCE_SECONDS, "music again")
        frame = ear.first_over(_SOUND)
        assert frame is not None
        return seen, ear.monotonic_seconds(frame)[0] - began


def _kill(daemon: StageDaemon, part: str, number: int) -> None:
    os.kill(parts_of(daemon.process.pid)[part], number)


def _ready_engines(daemon: StageDaemon) -> list[dict[str, Any]]:
    """What each engine so far has said when it was ready; only they have a model."""
    return [one for one in daemon.events("ready") if "model" in one]


def _ready_playouts(daemon: StageDaemon) -> list[dict[str, Any]]:
    """What each playout so far has said when it had a sound card."""
    return [one for one in daemon.events("ready") if one.get("host_api")]


def _longest_silence(samples: Samples, rate_hz: int) -> float:
    """The longest stretch of nothing in a recording [N, C], in seconds."""
    holes = holes_of(np.abs(samples).max(axis=1), 0)
    return max((length for _, length in holes), default=0) / rate_hz


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "worst": _worst(values)}


def _worst(values: list[float]) -> float:
    """The one furthest from 0: an exit code may be negative."""
    return float(max(values, key=abs))
