"""What a player does before an ear: bars that are heard twice, a change of prompt, a phrase.

A machine of any speed is fast enough: while something is asked for the transport stands, and it
goes on when enough music lies ready.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.bridge.daemon_rig import DaemonProcess
from tests.patches.pcm_ear import PcmEar
from tests.patches.players import Player

BAR_BEATS: Final = 4
UNDONE_BARS: Final = 2
NOTE_BEATS: Final = 4
NOTES: Final = 3
SCENE: Final = "warm house groove with a round bass"
CHANGE: Final = "string quartet, slow"
BPM: Final = 120
# What is made ahead, and how much more than what will be played must lie ready.
LEAD_MS: Final = 10_000
SPARE_MS: Final = 1500
ANSWER_SECONDS: Final = 60.0
MAKING_SECONDS: Final = 120.0
_MIDDLE_C: Final = 60
_A4_NOTE, _A4_HZ = 69, 440.0
_PITCHES_HZ: Final = (120.0, 2100.0)
# How much of a beat before and after a stop fades.
_TORN_BEATS: Final = (0.05, 0.25)


class Note(NamedTuple):
    """A note of the phrase, and the beat from which it is heard."""

    beat: float
    pitch: int


class Passage(NamedTuple):
    """The beats at which the same music begins again and the prompt changes; what else happened.

    `stops` are the beats at which the transport stood, `take` is the player's own recording.
    """

    again: float
    changed: float
    phrase: tuple[Note, ...]
    stops: tuple[float, ...]
    take: Path

    def whole(self, beats: Iterable[float]) -> list[float]:
        """Those beats in which no stop falls, nor into what they repeat."""
        return [
            beat for beat in beats if not self._is_torn(beat) and not self._is_torn(_before(beat))
        ]

    def _is_torn(self, beat: float) -> bool:
        early, late = _TORN_BEATS
        return any(beat - late < stop < beat + 1 + early for stop in self.stops)


class Rehearsal:
    """A player, the daemon that is played, and an ear. `fell_behind`: it must be done again."""

    def __init__(self, player: Player, daemon: DaemonProcess, ear: PcmEar) -> None:
        self._player = player
        self._daemon = daemon
        self._ear = ear
        self._stops: list[float] = []
        self._known = self._troubles()

    @property
    def fell_behind(self) -> bool:
        """Whether something else than the model's newest music was heard, or not all was."""
        return self._troubles() > self._known

    def passage(self) -> Passage:
        """Play it once. The beats are those that the player was told."""
        self._tell("/mgrt/prompt/set", 0, SCENE)
        self._player.ask("/mgrt/audio/record", 1)
        take = self._recording(1)
        again = self._bars_again()
        self._play(again + 1)
        changed = self._player.ask("/mgrt/prompt/set", 0, CHANGE, 1.0, 0.0, "bar")
        self._play(changed + BAR_BEATS)
        self._player.ask("/mgrt/melody/mode", "follow")
        phrase = tuple(self._play_note(pitch) for pitch in self._pitches(changed))
        self._player.ask("/mgrt/melody/mode", "off")
        self._player.ask("/mgrt/audio/record", 0)
        self._recording(0)
        folder = self._daemon.folder / "data" / "recordings"
        return Passage(again, changed, phrase, tuple(self._stops), folder / take)

    def _bars_again(self) -> float:
        """Have bars played, and then the same bars again; the beat from which they are."""
        while True:
            self._play_bars()
            answer = self._daemon.client.ask("/mgrt/gen/undo", UNDONE_BARS, seconds=ANSWER_SECONDS)
            if answer[0] == "/done":
                return float(answer[2])
            # Too few bars yet, or a machine so busy that the engine's answer is given up.
            assert "remembered" in answer[2] or "no answer" in answer[2], answer

    def _play_bars(self) -> None:
        """Two whole bars, as the player counts them."""
        bars = UNDONE_BARS + 1
        self._begin(bars * BAR_BEATS)
        for _ in range(bars):
            self._player.until_bar()
        self._end()

    def _pitches(self, changed: float) -> list[int]:
        """Those that are least in what plays, so that nobody can take it for them."""
        heard = shares(self._ear, changed + 1, changed + BAR_BEATS)
        return [_MIDDLE_C + int(pitch) for pitch in heard.argsort()[:NOTES]]

    def _play_note(self, pitch: int) -> Note:
        beat = self._player.ask("/mgrt/melody/note_on", pitch, 100)
        self._play(beat + NOTE_BEATS)
        self._player.ask("/mgrt/melody/note_off", pitch)
        return Note(beat, pitch)

    def _play(self, end_beat: float) -> None:
        self._begin(end_beat - self._stops[-1])
        self._ear.until(end_beat)
        self._end()

    def _begin(self, beats: float) -> None:
        """Let the transport go on when there is enough for some beats."""
        ready_ms = beats * 60_000 / BPM + SPARE_MS
        self._until(lambda status: status["lead_ms"] > ready_ms)
        self._player.ask("/mgrt/transport/play")

    def _end(self) -> None:
        self._stops.append(self._player.ask("/mgrt/transport/stop"))
        self._until(lambda status: status["phase"] == "stopped")

    def _until(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        client = self._daemon.client
        self._daemon.until(lambda: holds(client.status(ANSWER_SECONDS)), MAKING_SECONDS)

    def _tell(self, address: str, *values: object) -> None:
        answer = self._daemon.client.ask(address, *values, seconds=ANSWER_SECONDS)
        assert answer[0] == "/done", answer

    def _recording(self, is_on: int) -> str:
        """The name of the file when it is begun or whole."""
        told = self._daemon.client.wait(
            lambda m: m[:2] == ("/mgrt/state/record", is_on), ANSWER_SECONDS
        )
        return str(told[2])

    def _troubles(self) -> int:
        self._daemon.client.ask("/mgrt/sync", 1, seconds=ANSWER_SECONDS)  # all before it has come
        told = self._daemon.client.received
        is_short = [("/mgrt/fallback", 1), ("/mgrt/error", "deficit")]
        return sum(message[:2] in is_short for message in told) + self._ear.lost


def _before(beat: float) -> float:
    return beat - UNDONE_BARS * BAR_BEATS


def likeness_to_before(ear: PcmEar, beat: float) -> float:
    """The correlation of a beat with the one that it repeats, unless something has changed."""
    before = _before(beat)
    first, second = ear.between(beat, beat + 1), ear.between(before, before + 1)
    return float(np.corrcoef(first, second)[0, 1])


def shares(ear: PcmEar, first_beat: float, end_beat: float) -> NDArray[np.float64]:
    """The parts of the energy between two beats that lie in the pitch classes from C on [12]."""
    music = ear.between(first_beat, end_beat)
    energy = np.abs(np.fft.rfft(music * np.hanning(len(music)))) ** 2
    hz = np.fft.rfftfreq(len(music), 1 / ear.rate_hz)
    is_pitch = (hz > _PITCHES_HZ[0]) & (hz < _PITCHES_HZ[1])
    classes = np.round(_A4_NOTE + 12 * np.log2(hz[is_pitch] / _A4_HZ)).astype(int) % 12
    parts: NDArray[np.float64] = np.bincount(classes, energy[is_pitch], 12) / energy[is_pitch].sum()
    return parts
