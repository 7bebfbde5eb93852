"""What a performer should hear of the children's messages, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final


class Urgency(Enum):
    """How loudly something is told."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class News:
    """One line."""

    text: str
    urgency: Urgency = Urgency.INFO


def news_of(part: str, message: Mapping[str, Any]) -> News | None:
    """The line that a message of "engine" or "playout" is worth; None for the many that are not."""
    teller = _TELLERS.get((part, str(message.get("type"))))
    return None if teller is None else teller(message)


def _engine_ready(message: Mapping[str, Any]) -> News:
    abilities = [
        name for name, key in (("clock", "has_clock"), ("melody", "has_melody")) if message.get(key)
    ]
    abilities += [str(name) for name in message.get("attributes", ())]
    again = "back" if message.get("is_resumed") else "ready"
    text = f"{again} on {message.get('device', '?')} ({message.get('weights', '?')})"
    text += f", loaded in {_seconds(message.get('load_seconds'))}"
    return News(text + (f"; follows {', '.join(abilities)}" if abilities else ""))


def _engine_error(message: Mapping[str, Any]) -> News:
    where = message.get("where", "engine")
    urgency = Urgency.ERROR if where in ("load", "device", "engine") else Urgency.WARNING
    return News(f"{where}: {message.get('text', '')}", urgency)


def _playout_ready(message: Mapping[str, Any]) -> News:
    reason = message.get("reason")
    if reason:
        return News(
            f"no sound: {reason}; the music goes on unheard, everything else works",
            Urgency.WARNING,
        )
    if message.get("output") == "null":
        return News("in real time to nobody: the null output")
    where = message.get("device") or message.get("output")
    latency = _milliseconds(message.get("latency_ms"))
    return News(f"to {where} at {message.get('rate_hz')} Hz, latency {latency}")


def _fallback(message: Mapping[str, Any]) -> News:
    if message.get("is_on"):
        return News("the engine is late: the last good bars go on in a loop", Urgency.WARNING)
    return News("back from the loop")


def _recording(message: Mapping[str, Any]) -> News:
    if message.get("error"):
        return News(f"recording has ended: {message['error']}", Urgency.ERROR)
    verb = "recording to" if message.get("is_on") else "recorded"
    return News(f"{verb} {message.get('path')}")


def _text(urgency: Urgency) -> Callable[[Mapping[str, Any]], News]:
    return lambda message: News(str(message.get("text", "")), urgency)


_TELLERS: Final[dict[tuple[str, str], Callable[[Mapping[str, Any]], News | None]]] = {
    ("engine", "ready"): _engine_ready,
    ("engine", "error"): _engine_error,
    ("playout", "ready"): _playout_ready,
    ("playout", "fallback"): _fallback,
    ("playout", "recording"): _recording,
    ("playout", "device_lost"): _text(Urgency.WARNING),
    ("playout", "warning"): _text(Urgency.WARNING),
}


def _seconds(value: Any) -> str:
    return f"{value:.1f} s" if isinstance(value, int | float) else "?"


def _milliseconds(value: Any) -> str:
    return f"{value:.0f} ms" if isinstance(value, int | float) else "?"
