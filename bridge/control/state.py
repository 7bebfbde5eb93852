"""The session's controls by name: what holds, and what has changed since it was last told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bridge.control.message import Message
from bridge.control.session_config import SessionConfig
from bridge.table.terms import (
    LEAD_PARAMETERS,
    MELODY_LINES,
    MELODY_RELEASES,
    NUM_SLOTS,
    PARAMETERS,
)

EngineCall = tuple[str, tuple[Any, ...]]

_MELODY_SETTINGS = ("melody/loop_bars", "melody/line", "melody/release")


class State:
    """Values by key, such as "weight/3" or "param/cfg". [control]

    Texts that are not set are None. Attributes appear when the checkpoint has named them.
    """

    def __init__(self, config: SessionConfig) -> None:
        self._values: dict[str, Any] = _defaults(config)
        # In the order in which they changed.
        self._untold: dict[str, None] = {}
        # What was set on purpose; a checkpoint has defaults of its own.
        self._given = {f"param/{name}" for name in config.params}
        self._inputs_folder = config.inputs_folder

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def set(self, key: str, value: Any) -> Any:
        """Change a value; the one before."""
        before = self._values.get(key)
        self._values[key] = value
        self._given.add(key)
        self._untold[key] = None
        return before

    def set_default(self, key: str, value: Any) -> None:
        """What holds unless it was set on purpose."""
        if key not in self._given:
            self._values[key] = value
            self._untold[key] = None

    def attributes(self) -> dict[str, str]:
        """All attributes of the checkpoint."""
        return self._named("attr/")

    def prompts(self) -> list[tuple[int, str, float]]:
        """Slot, text and weight of all slots that hold a text."""
        slots = ((slot, self[f"prompt/{slot}"]) for slot in range(NUM_SLOTS))
        return [(slot, text, self[f"weight/{slot}"]) for slot, text in slots if text is not None]

    def lead(self) -> dict[str, Any]:
        """How far to run ahead and how much to keep, as the engine is told."""
        return {name: self[f"param/{name}"] for name in LEAD_PARAMETERS}

    def engine_calls(self) -> list[EngineCall]:
        """The commands that bring a fresh engine to this state."""
        return list(_unique(call for key in self._values for call in self._engine_call(key)))

    def take_untold(self) -> list[str]:
        """The keys that have changed since the last call."""
        untold, self._untold = list(self._untold), {}
        return untold

    def messages(self, keys: Iterable[str]) -> list[Message]:
        """What subscribers are told about these keys, each message once."""
        return list(_unique(self._message(key) for key in keys))

    def all_messages(self) -> list[Message]:
        """All state."""
        return self.messages(self._values)

    def message_of(self, group: str) -> Message:
        """The message of a group that has only one, such as "clock"."""
        return self._message(group if group in self else f"{group}/")

    def _named(self, prefix: str) -> dict[str, Any]:
        return {
            key.removeprefix(prefix): value
            for key, value in self._values.items()
            if key.startswith(prefix)
        }

    def _engine_call(self, key: str) -> Iterator[EngineCall]:
        group, _, name = key.partition("/")
        value = self[key]
        if group in ("prompt", "weight"):
            yield self._prompt_call(int(name))
        elif group == "param" and key in self._given and name not in LEAD_PARAMETERS:
            yield "param/set", (name, value)
        elif group == "attr" and key in self._given:
            yield "attr/set", (name, value)
        elif key == "negative":
            yield "prompt/negative", (value,)
        elif key in _MELODY_SETTINGS and key in self._given:
            yield key, (value,)
        elif key == "song/file" and value is not None:
            yield "song/load", (str(self._inputs_folder / value),)
        elif key == "song/section" and value is not None:
            yield key, (value,)
        elif key in ("melody/mode", "melody/file") and key in self._given:
            yield from self._melody_calls()

    def _prompt_call(self, slot: int) -> EngineCall:
        text = self[f"prompt/{slot}"]
        if text is None:
            return "prompt/clear", (slot,)
        return "prompt/set", (slot, text, self[f"weight/{slot}"], 0)

    def _melody_calls(self) -> Iterator[EngineCall]:
        mode, name = self["melody/mode"], self["melody/file"]
        if mode != "file":
            yield "melody/mode", (mode,)
        elif name is not None:  # without a name it is a tune, which the song brings
            yield "melody/file", (str(self._inputs_folder / name),)

    def _message(self, key: str) -> Message:
        group, _, name = key.partition("/")
        if group in ("prompt", "weight"):
            args = int(name), self[f"prompt/{name}"] or "", self[f"weight/{name}"]
            return Message("/mgrt/state/prompt", args)
        if group in ("param", "attr"):
            return Message(f"/mgrt/state/{group}", (name, self[key]))
        if key == group:
            return Message(f"/mgrt/state/{key}", (_or_empty(self[key]),))
        values = self._named(f"{group}/").values()
        return Message(f"/mgrt/state/{group}", tuple(_or_empty(value) for value in values))


def _or_empty(value: Any) -> Any:
    return "" if value is None else value


def _unique(items: Iterator[Any]) -> Iterator[Any]:
    return iter(dict.fromkeys(items))


def _defaults(config: SessionConfig) -> dict[str, Any]:
    texts: list[str | None] = [text for text, _ in config.prompts]
    weights = [float(weight) for _, weight in config.prompts]
    texts += [None] * (NUM_SLOTS - len(texts))
    weights += [0.0] * (NUM_SLOTS - len(weights))
    params = {name: argument.default for name, argument in PARAMETERS.items()}
    params |= {name: PARAMETERS[name].check(value) for name, value in config.params.items()}
    return {
        **{f"prompt/{slot}": text for slot, text in enumerate(texts)},
        **{f"weight/{slot}": weight for slot, weight in enumerate(weights)},
        "negative": config.negative,
        **{f"param/{name}": value for name, value in params.items()},
        # The order within a group is that of the arguments of its message.
        "melody/mode": "off",
        "melody/loop_bars": 4,
        "melody/file": None,
        "melody/line": MELODY_LINES[0],
        "melody/release": MELODY_RELEASES[0],
        "clock/source": "internal",
        "clock/bpm": float(config.bpm),
        "clock/beats": config.beats_per_bar,
        "clock/unit": config.beat_unit,
        "clock/quantum": config.beats_per_bar,
        "clock/offset_ms": 0.0,
        "transport/is_playing": config.is_playing,
        "freeze/is_on": False,
        "freeze/bars": 1,
        "bank": -1,
        "song/file": None,
        "song/section": None,
        "audio/gain_db": float(config.gain_db),
        "audio/is_muted": False,
        "record/is_on": False,
        "record/name": None,
        "device": None,
    }
