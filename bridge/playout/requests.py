"""Control's requests to the playout: each checked, carried out, and answered once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bridge.playout.device_query import ask_devices
from bridge.playout.grid import Grid
from bridge.playout.player import Player, Post
from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.errors import MusicgenRTError, ParameterError


class Requests:
    """Hands messages to the player. [pump]

    `open_device(name, id)` begins to look for a device; it answers that request later.
    """

    def __init__(
        self, player: Player, post: Post, open_device: Callable[[str | None, int], None]
    ) -> None:
        self._player = player
        self._post = post
        self._open_device = open_device
        self._hop_samples = player.hop_samples
        self._handlers: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "timeline": self._timeline,
            "gate": self._gate,
            "gain": self._gain,
            "mute": self._mute,
            "record": self._record,
            "device": self._device,
            "devices": self._devices,
            "pcm": self._pcm,
        }

    def handle(self, message: Mapping[str, Any]) -> None:
        """Carry out one message; what cannot be done is answered with `failed`."""
        kind = message["type"]
        try:
            if kind not in self._handlers:
                raise ParameterError(f"unknown request {kind!r}")
            self._handlers[kind](message)
        except MusicgenRTError as error:
            self._post({"type": "failed", "id": message.get("id"), "reason": str(error)})

    def _timeline(self, message: Mapping[str, Any]) -> None:
        timeline = Timeline.from_json(_field(message, "timeline", Mapping))
        self._player.session.set_grid(Grid(timeline, self._hop_samples))

    def _gate(self, message: Mapping[str, Any]) -> None:
        id = _field(message, "id", int)
        if _field(message, "is_open", bool):
            time_ns = _field({"time_ns": None, **message}, "time_ns", int | None)
            self._player.open_gate(id, time_ns)
        else:
            self._player.close_gate(id, _sample(message), _beat(message))

    def _gain(self, message: Mapping[str, Any]) -> None:
        id = _field(message, "id", int)
        ramp_seconds = _number({"ramp_ms": 0, **message}, "ramp_ms") / 1000
        gain_db = _number(message, "gain_db")
        fader, sample = self._player.session.fader, _sample(message)
        fader.set_gain(id, gain_db, sample, ramp_seconds, _beat(message))

    def _mute(self, message: Mapping[str, Any]) -> None:
        id, is_muted = _field(message, "id", int), _field(message, "is_muted", bool)
        self._player.session.fader.set_mute(id, is_muted, _sample(message), _beat(message))

    def _record(self, message: Mapping[str, Any]) -> None:
        id, path = _field(message, "id", int), _field(message, "path", str | None)
        self._player.sinks.record(None if path is None else Path(path))
        self._done(id)

    def _pcm(self, message: Mapping[str, Any]) -> None:
        self._player.sinks.sends_pcm = _field(message, "is_on", bool)
        if "id" in message:
            self._done(_field(message, "id", int))

    def _device(self, message: Mapping[str, Any]) -> None:
        self._open_device(_field(message, "name", str | None), _field(message, "id", int))

    def _devices(self, message: Mapping[str, Any]) -> None:
        ask_devices(_field(message, "id", int), self._post)

    def _done(self, id: int) -> None:
        self._post({"type": "applied", "id": id, "sample": self._player.session.position})


def _field(message: Mapping[str, Any], name: str, kind: Any) -> Any:
    """One value of a message. Raises ParameterError if it is absent or of another type."""
    value = message.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ParameterError(f"{message['type']}: {name} is {value!r}: expected {kind}")
    return value


def _sample(message: Mapping[str, Any]) -> int | None:
    """The session sample of a request; None means at once."""
    sample = message.get("sample")
    return None if sample is None else int(_number(message, "sample"))


def _beat(message: Mapping[str, Any]) -> float | None:
    """The session's beat of that sample, if it is a line."""
    return None if message.get("beat") is None else _number(message, "beat")


def _number(message: Mapping[str, Any], name: str) -> float:
    value = float(_field(message, name, int | float))
    if not math.isfinite(value):
        raise ParameterError(f"{message['type']}: {name} is {value}: expected a finite number")
    return value
