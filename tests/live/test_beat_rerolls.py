"""A bar that has lost the beat: made again while it is not heard, so often and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live.beat_comb import BeatReading
from musicgen_rt.live.beat_lock import BeatLock
from musicgen_rt.live.beat_rerolls import BeatRerolls
from musicgen_rt.model.musicgen import MusicGen
from tests.live.worker_rig import Rig
from tests.support.stand_in import StandIn, stand_in_model


@pytest.fixture
def rig(models: dict[str, MusicGen]) -> Rig:
    """Six seconds ahead, at a tempo at which the lock listens."""
    model = stand_in_model(models["frame"], StandIn())
    rig = Rig(model, lead_ms=6000, timeline=Timeline.start(120.0))
    rig.fill()
    return rig


def lost_at(beat: float) -> BeatLock:
    """A lock that was sure up to a beat, and then heard beats somewhere else."""
    lock = BeatLock()
    for before in range(6):
        lock = lock.heard(BeatReading(0.0, 0.0, 0.9), beat - 5 + before)
    return lock.heard(BeatReading(0.4, 0.0, 0.9), beat + 1)


def test_a_lost_bar_is_made_again_with_another_seed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rerolls = BeatRerolls(rig.stage)
    score = rig.stage.engine.session.stream.score
    monkeypatch.setattr(type(rig.player.beats), "lock", lost_at(7.0))
    made, seed = rig.player.next_frame, score.at("seed", rig.player.next_frame)
    for turn in (1, 2, 3):
        rerolls.consider()
        assert rerolls.count == min(turn, 2), "a third time it is played as it is"
        if turn < 3:
            assert rig.player.next_frame == 100, "from the bar line before beat 5 on"
            assert score.at("seed", 100) != seed
            seed = score.at("seed", 100)
        rig.fill()
    assert rig.player.next_frame > made - 16, "to a chunk"
    assert score.at("seed", 99) == 7


@pytest.mark.parametrize("best", [0, 1, 2])
def test_of_hopeless_tries_the_best_is_played(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, best: int
) -> None:
    rerolls = BeatRerolls(rig.stage)
    score = rig.stage.engine.session.stream.score
    seeds, codes = [], []
    for turn in range(3):
        support = 0.3 if turn == best else 0.1
        monkeypatch.setattr(type(rig.player.beats), "lock", replace(lost_at(7.0), support=support))
        seeds.append(score.at("seed", 100))
        codes.append(rig.codes(100, 120))
        rerolls.consider()
        rig.fill()
    assert len(set(seeds)) == 3
    assert score.at("seed", 100) == seeds[best]
    assert (rig.codes(100, 120) == codes[best]).all(), "the same seed, the same music"
    count = rerolls.count
    assert count == (2 if best == 2 else 3)
    rerolls.consider()
    assert rerolls.count == count, "that is the end of it"


def test_what_is_on_the_beat_committed_or_not_to_be_locked_stays(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rerolls, made = BeatRerolls(rig.stage), rig.player.next_frame
    locks = [replace(lost_at(7.0), surprising=0), BeatLock(), lost_at(40.0)]
    for lock in locks:
        monkeypatch.setattr(type(rig.player.beats), "lock", lock)
        rerolls.consider()
    rig.player.beats.is_on = False
    monkeypatch.setattr(type(rig.player.beats), "lock", lost_at(7.0))
    rerolls.consider()
    assert rerolls.count == 0
    assert rig.player.next_frame == made
