"""A change on a line between two frames: the old music up to the line, the new from it on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from musicgen_rt.model.musicgen import MusicGen
from tests.live.test_worker_player import audio_of, planned
from tests.live.worker_rig import HOP, Rig

FADE_SAMPLES = 320
FRAMES = 150


@pytest.fixture
def rig(models: dict[str, MusicGen]) -> Rig:
    return Rig(models["frame"])


def change_at(rig: Rig, sample: int, name: str, *args: Any) -> int:
    """A command as control sends it for a line; its id."""
    identity = rig.command(name, *args, frame=round(sample / HOP))
    rig.inbox.messages[-1]["sample"] = sample
    return identity


@pytest.mark.parametrize("into_frame", [1, 320, 639])
@pytest.mark.parametrize("is_far", [True, False])
def test_the_old_music_ends_and_the_new_begins_at_the_sample(
    rig: Rig, models: dict[str, MusicGen], is_far: bool, into_frame: int
) -> None:
    rig.play(40)
    line = (100 if is_far else 60) * HOP + into_frame
    assert (line > rig.buffer.snapshot().written_end) == is_far
    identity = change_at(rig, line, "attr/set", "drums", "off")
    rig.play(100)
    assert rig.applied_at(identity) == round(line / HOP)
    old, new = planned(models["frame"]), planned(models["frame"])
    new.set_attribute("drums", False, at_frame=line // HOP)
    heard = rig.heard_samples(0, FRAMES - 20)
    before, after = audio_of(old, FRAMES), audio_of(new, FRAMES)
    end = heard.shape[1]
    assert np.abs(before[:, line:end] - after[:, line:end]).max() > 1e-3, "it can be heard"
    fade = line - FADE_SAMPLES
    assert np.abs(heard[:, :fade] - before[:, :fade]).max() < 1e-6
    assert np.abs(heard[:, line:] - after[:, line:end]).max() < 1e-6


def test_changes_of_one_line_share_one_going_back(rig: Rig, models: dict[str, MusicGen]) -> None:
    rig.play(40)
    line = 100 * HOP + 300
    change_at(rig, line, "attr/set", "drums", "off")
    change_at(rig, line, "attr/set", "bass", "on")
    backs: list[int] = []
    go_back = rig.player.go_back

    def counted(frame: int, heard_from: int | None = None) -> None:
        backs.append(frame)
        go_back(frame, heard_from)

    rig.player.go_back = counted  # type: ignore[method-assign]
    rig.play(100)
    assert backs == [100]
    new = planned(models["frame"])
    new.set_attribute("drums", False, at_frame=100)
    new.set_attribute("bass", True, at_frame=100)
    heard = rig.heard_samples(0, FRAMES - 20)
    expected = audio_of(new, FRAMES)[:, line : heard.shape[1]]
    assert np.abs(heard[:, line:] - expected).max() < 1e-6


def test_where_nothing_can_be_made_twice_the_change_is_in_time_all_the_same(rig: Rig) -> None:
    """An engine that is hardly faster than the music: its frame is kept, and nothing else."""
    rig.play(40)
    rig.player.pace.steps_per_second = 40.0
    is_kept_to_its_frame(rig)


def test_with_a_short_lead_the_change_is_in_time_all_the_same(models: dict[str, MusicGen]) -> None:
    rig = Rig(models["frame"], lead_ms=240)
    rig.play(40)
    is_kept_to_its_frame(rig)


def is_kept_to_its_frame(rig: Rig) -> None:
    line = 100 * HOP + 300
    identity = change_at(rig, line, "attr/set", "drums", "off")
    rig.play(100)
    assert rig.applied_at(identity) == round(line / HOP)
    score = rig.stage.engine.session.stream.score
    assert score.at("attribute/drums", 99) is None
    assert score.at("attribute/drums", 100) is False


@pytest.mark.parametrize("is_first", [True, False])
def test_what_is_asked_for_at_the_line_of_a_jump_is_heard_where_it_leads(
    is_first: bool, models: dict[str, MusicGen]
) -> None:
    """In whatever order the two came: else the jump would bring back the controls of then."""
    rig = Rig(models["frame"], lead_ms=600)
    rig.play(60)
    line = rig.timeline.next_bar_start_at_or_after(rig.player.next_frame + 10)
    if is_first:
        change_at(rig, line * HOP, "param/set", "temperature", 0.7)
    undone = rig.command("gen/undo", 1, frame=line)
    if not is_first:
        change_at(rig, line * HOP, "param/set", "temperature", 0.7)
    rig.play(120)
    assert rig.applied_at(undone) == line
    assert rig.stage.controls()["params"]["temperature"] == 0.7
    score, place = rig.stage.engine.session.stream.score, rig.player.splice
    assert score.at("temperature", place.stream_frame + 1) == 0.7
    assert score.at("temperature", place.stream_frame - 1) == 1.0
    assert np.isfinite(rig.heard).all()


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("jump", [("gen/undo", 1), ("gen/retry", 1)])
def test_a_melody_for_the_line_of_a_jump_is_heard_where_it_leads(
    jump: tuple[str, int], is_first: bool, models: dict[str, MusicGen]
) -> None:
    """It lies on a frame, and no sample: the jump comes first all the same."""
    rig = Rig(models["frame"], lead_ms=600)
    rig.play(60)
    line = rig.timeline.next_bar_start_at_or_after(rig.player.next_frame + 10)
    commands: list[tuple[Any, ...]]
    commands = [("melody/mode", "follow"), ("melody/note_on", 60, 100), jump]
    if not is_first:
        commands = [jump, *commands[:2]]
    asked = [rig.command(*command, frame=line) for command in commands]
    rig.play(120)
    assert [rig.applied_at(identity) for identity in asked] == [line] * 3
    melody = rig.stage.melody.at(rig.player.stream_end)
    assert (melody.mode, [note.pitch for note in melody.held]) == ("follow", [60])
    begins = rig.player.splice.stream_frame
    assert rig.stage.melody.at(begins - 1).mode == "off"
    assert rig.stage.engine.session.stream.score.at("melody", begins + 1) is not None
    assert np.isfinite(rig.heard).all()


@pytest.mark.parametrize("name", ["attr/set", "melody/mode"])
def test_what_is_asked_for_at_the_line_of_an_undo_of_a_loop_is_heard_behind_it(
    name: str, models: dict[str, MusicGen]
) -> None:
    """While bars repeat nothing need be settled, and still the undo comes first."""
    rig = Rig(models["frame"], lead_ms=600)
    rig.play(60)
    rig.command("gen/freeze", 1, 1)
    rig.play(60)
    assert rig.player.frozen is not None
    line = rig.timeline.next_bar_start_at_or_after(rig.player.next_frame + 10)
    args = ("drums", "off") if name == "attr/set" else ("follow",)
    change_at(rig, line * HOP, name, *args)
    undone = rig.command("gen/undo", 1, frame=line)
    rig.play(100)
    assert rig.applied_at(undone) == line
    controls = rig.stage.controls()
    assert (controls["attributes"]["drums"], controls["melody"]["mode"]) != ("free", "off")


def test_nothing_waits_for_a_jump_that_cannot_reach_the_line(models: dict[str, MusicGen]) -> None:
    rig = Rig(models["frame"], lead_ms=600)
    rig.play(60)
    rig.player.pace.add_jump("gen/undo", 0.3)
    free = rig.player.free_frame()
    line = rig.timeline.next_bar_start_at_or_after(free)
    rig.move(max(0, line - free - 4))
    free = rig.player.free_frame()
    assert free <= line < rig.player.free_frame(12)
    mode = rig.command("melody/mode", "follow", frame=line)
    undone = rig.command("gen/undo", 1, frame=line)
    rig.play(100)
    assert rig.applied_at(mode) == line
    assert rig.applied_at(undone) > line
