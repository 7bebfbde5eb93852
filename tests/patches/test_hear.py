"""Each client starts the default scene of the model that ships and changes it, and that is heard.

Nobody can tell by a spectrum alone that music has changed because of a prompt: music changes by
itself. So there is a twin. Taking the last bars back makes the model play the very same again, as
the music is a function of its controls. A client that changes the prompt in the midst of that makes
the two part, at the beat that was announced and not before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import correlate

from tests.bridge.daemon_rig import DaemonProcess
from tests.patches import players
from tests.patches.passage import (
    BAR_BEATS,
    LEAD_MS,
    NOTE_BEATS,
    UNDONE_BARS,
    Passage,
    Rehearsal,
    likeness_to_before,
    shares,
)
from tests.patches.pcm_ear import PcmEar
from tests.patches.players import Player

pytestmark = pytest.mark.timeout(395)

TRYING_SECONDS: Final = 240.0

Opener = Callable[[Path, Mapping[str, int]], AbstractContextManager[Player]]
PLAYERS: Final[dict[str, Opener]] = {
    "pd": players.pd,
    "supercollider": players.supercollider,
    "node": players.node,
    "python": players.python,
    "browser": players.browser,
}


@pytest.fixture
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """The daemon as it ships, waiting for somebody to press play.

    Each client has its own: later on undo may find no cache that reaches back, reads its window
    anew instead, and then what it plays is not the very same.
    """
    folder = tmp_path_factory.mktemp("daemon")
    flags = ("--output", "null", "--pcm", "--no-play")
    with DaemonProcess(folder, *flags) as running:
        running.until(lambda: running.client.status(60)["phase"] == "stopped", 120)
        for address, value in (("/mgrt/notify", 1), ("/mgrt/param/set/lead_ms", LEAD_MS)):
            assert running.client.ask(address, value, seconds=60)[0] == "/done"
        yield running


@pytest.fixture
def ear(daemon: DaemonProcess) -> Iterator[PcmEar]:
    with PcmEar(daemon.ports()["publish"]) as listening:
        yield listening
    # What a test that failed has left.
    for address, *values in (("/mgrt/transport/stop",), ("/mgrt/audio/record", 0)):
        daemon.client.ask(str(address), *values, seconds=60)


def is_part(music: NDArray[np.float32], recording: NDArray[np.float32]) -> bool:
    """Whether some music [N] is found in a recording [M], up to the recording's 24 bits."""
    energy = np.concatenate([[0], np.cumsum(recording.astype(float) ** 2)])
    level = np.sqrt(np.maximum(energy[len(music) :] - energy[: -len(music)], 1e-6))
    at = int((correlate(recording, music, "valid") / level).argmax())
    return bool(np.allclose(recording[at : at + len(music)], music, atol=1e-4))


def wrong(passage: Passage, ear: PcmEar) -> str:
    """What of a passage was not heard as it should be; empty: nothing."""
    again, changed = passage.again, passage.changed
    if changed >= again + UNDONE_BARS * BAR_BEATS:
        return "the change came too late for what it is compared with"
    same = passage.whole(again + n for n in range(round(changed - again)))
    other = passage.whole(changed + n for n in range(1, BAR_BEATS))
    if min(likeness_to_before(ear, beat) for beat in same) < 0.9:
        return "it had changed before the announced beat"
    if np.mean([likeness_to_before(ear, beat) for beat in other]) > 0.75:
        return "the change was not heard"
    for beat, pitch in passage.phrase:
        if shares(ear, beat + 1, beat + NOTE_BEATS).argmax() != pitch % 12:
            return f"note {pitch} of the phrase was not heard"
    recording, rate_hz = soundfile.read(passage.take, dtype="float32", always_2d=True)
    assert rate_hz == ear.rate_hz
    for beat in (changed + 1, *(note.beat for note in passage.phrase)):
        if not is_part(ear.between(beat, beat + 1), recording[:, 0]):
            return f"beat {beat} was not recorded"
    return ""


@pytest.mark.parametrize("name", PLAYERS)
def test_a_change_is_heard_from_its_beat_on(
    name: str, daemon: DaemonProcess, ear: PcmEar, tmp_path: Path
) -> None:
    """Some tries: a busy machine may lose a block, and the model a note that fits badly.

    A client that does not do what it should fails all of them.
    """
    found: list[str] = []
    end = time.monotonic() + TRYING_SECONDS
    with PLAYERS[name](tmp_path, daemon.ports()) as player:
        while not found or (found[-1] and time.monotonic() < end):
            rehearsal = Rehearsal(player, daemon, ear)
            passage = rehearsal.passage()
            behind = "not all of the music was heard" if rehearsal.fell_behind else ""
            found.append(behind or wrong(passage, ear))
    assert not found[-1], found
