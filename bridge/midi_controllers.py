"""Which MIDI controller moves which control of the protocol's table, and over what range."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.argument import Number, Whole
from bridge.entry import PREFIX, Entry
from bridge.protocol import BY_ADDRESS
from bridge.setting import CcBinding
from musicgen_rt.errors import ParameterError

HIGHEST_VALUE: Final = 127

# A knob sweeps what is of use on a stage; the whole range of some controls is far wider.
SWEEPS: Final[dict[str, tuple[float, float]]] = {
    "param/set/temperature": (0.5, 1.5),
    "param/set/top_k": (1, 500),
    "param/set/cfg": (1, 8),
    "param/set/cfg_melody": (0, 4),
    "prompt/weight": (0, 1),
    "audio/gain_db": (-40, 6),
    "clock/tempo": (60, 180),
}


@dataclass(frozen=True)
class Control:
    """One number that a controller can move: a command without its last argument, and a range."""

    target: str
    address: str
    leading: tuple[Any, ...]
    low: float
    high: float
    is_whole: bool

    def command(self, value: int) -> tuple[Any, ...]:
        """The command for a controller that stands at `value` of 127."""
        number = self.low + (self.high - self.low) * value / HIGHEST_VALUE
        return (self.address, *self.leading, round(number) if self.is_whole else number)


@dataclass
class Controllers:
    """The bindings, and where the bound controllers were moved to since they were last asked.

    Of many movements only the last counts. One thread.
    """

    bindings: dict[int, Control] = field(default_factory=dict)
    _learning: Control | None = None
    _moved: dict[int, int] = field(default_factory=dict)

    @classmethod
    def configured(cls, bindings: Iterable[CcBinding]) -> Controllers:
        """Those of the configuration. Raises ParameterError for a control that there is not."""
        return cls({one.controller: control_of(one) for one in bindings})

    def learn(self, target: str) -> None:
        """Bind the next controller that moves to `target`. Raises ParameterError."""
        self._learning = find_control(target)

    def forget(self, target: str) -> None:
        """Undo the bindings to `target`. Raises ParameterError."""
        control = find_control(target)
        if self._learning is not None and self._learning.target == control.target:
            self._learning = None
        for number in [n for n, one in self.bindings.items() if one.target == control.target]:
            del self.bindings[number]

    def move(self, controller: int, value: int) -> str | None:
        """A controller stands at `value`; the target, if it has just been learned."""
        learned = self._learning
        if learned is not None:
            self.bindings[controller] = learned
            self._learning = None
        if controller in self.bindings:
            self._moved[controller] = value
        return None if learned is None else learned.target

    def take(self) -> list[tuple[Any, ...]]:
        """The commands for all movements since the last call."""
        moved, self._moved = self._moved, {}
        return [
            self.bindings[number].command(value)
            for number, value in moved.items()
            if number in self.bindings
        ]


def control_of(binding: CcBinding) -> Control:
    """The control of a configured binding, its range narrowed. Raises ParameterError."""
    control = find_control(binding.target)
    entry, argument = _last_argument(control.target)
    low = control.low if binding.low is None else binding.low
    high = control.high if binding.high is None else binding.high
    for end in (low, high):
        if not argument.low <= end <= argument.high:
            raise ParameterError(
                f"controller {binding.controller}: {end:g} for {binding.target}: expected "
                f"{argument.expected}"
            )
    return Control(control.target, entry.address, control.leading, low, high, control.is_whole)


def find_control(target: str) -> Control:
    """The control that a name stands for: "cfg", "param/cfg", "prompt/weight/0", "audio/gain_db".

    Raises ParameterError for what is no number, or not in the table.
    """
    entry, argument = _last_argument(target)
    path = entry.path
    leading = _leading(entry, _parts(target))
    low, high = SWEEPS.get(path, (argument.low, argument.high))
    name = "/".join([path.replace("param/set/", "param/"), *map(str, leading)])
    return Control(name, entry.address, leading, low, high, isinstance(argument, Whole))


def _last_argument(target: str) -> tuple[Entry, Number | Whole]:
    """The entry of a target, and the argument that a controller moves."""
    parts = _parts(target)
    entry = _entry(parts)
    if entry is None or not entry.is_continuous:
        raise ParameterError(
            f"{target!r}: expected a control that moves, such as cfg, temperature, "
            "prompt/weight/0, audio/gain_db or clock/tempo"
        )
    argument = entry.arguments[len(_leading(entry, parts))]
    assert isinstance(argument, Number | Whole)
    return entry, argument


def _parts(target: str) -> list[str]:
    """The parts of a path: blanks divide as slashes do, and a lone name is a parameter."""
    parts = target.strip().removeprefix(PREFIX).replace(" ", "/").split("/")
    if len(parts) == 1:
        parts = ["param", *parts]
    if parts[0] == "param" and parts[1] != "set":
        parts.insert(1, "set")
    return parts


def _entry(parts: list[str]) -> Entry | None:
    for length in range(len(parts), 0, -1):
        entry = BY_ADDRESS.get(PREFIX + "/".join(parts[:length]))
        if entry is not None:
            return entry
    return None


def _leading(entry: Entry, parts: list[str]) -> tuple[Any, ...]:
    """The arguments before the one that moves, checked. Raises ParameterError."""
    given = parts[entry.path.count("/") + 1 :]
    expected = max(0, sum(not one.is_optional for one in entry.arguments) - 1)
    if len(given) != expected:
        raise ParameterError(f"{'/'.join(parts)}: expected {expected} numbers after {entry.path}")
    values = []
    for argument, text in zip(entry.arguments, given, strict=False):
        try:
            values.append(argument.check(int(text)))
        except ValueError as error:
            raise ParameterError(f"{'/'.join(parts)}: {error}") from error
    return tuple(values)
