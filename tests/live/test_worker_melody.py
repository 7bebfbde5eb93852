"""Notes, loops and files as the music hears them: pitch classes at their frames."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest

from musicgen_rt.contract.timeline import Timeline
from musicgen_rt.live import take
from musicgen_rt.model.musicgen import MusicGen
from tests.live.worker_rig import BAR, BPM, Rig
from tests.support.stand_in import BEAT, FIRST_PITCH, StandIn, stand_in_model

REST = -1


@pytest.fixture
def rig(models: dict[str, MusicGen]) -> Rig:
    """Plays what its conditions ask for; drums are off, so tokens are the melody's pitches."""
    model = stand_in_model(models["frame"], StandIn())
    return Rig(model, lead_ms=400, state=(("attr/set", ["drums", "off"]),))


def pitches(rig: Rig, first: int, end: int) -> list[int]:
    """The pitch class that the music follows at each of the stream's frames."""
    tokens = rig.codes(first, end)[0]
    return [int(token) - FIRST_PITCH if token >= FIRST_PITCH else REST for token in tokens]


def runs(values: list[int]) -> list[tuple[int, int]]:
    """(value, how often in a row)."""
    found: list[tuple[int, int]] = []
    for value in values:
        if found and found[-1][0] == value:
            found[-1] = (value, found[-1][1] + 1)
        else:
            found.append((value, 1))
    return found


def test_held_notes_are_followed_the_top_line_of_them(rig: Rig) -> None:
    rig.play(40)
    mode = rig.command("melody/mode", "follow")
    rig.fill()
    frames = [rig.applied_at(mode)]
    for name, args in (
        ("note_on", (60, 100)),
        ("note_on", (67, 80)),
        ("note_on", (64, 90)),
        ("note_off", (67,)),
        ("note_off", (64,)),
        ("note_off", (60,)),
    ):
        rig.play(12)
        identity = rig.command(f"melody/{name}", *args)
        rig.fill()
        frames.append(rig.applied_at(identity))
    rig.play(40)
    found = pitches(rig, frames[0], frames[-1] + 10)
    expected = []
    for pitch, first, end in zip((REST, 0, 7, 7, 4, 0), frames, frames[1:], strict=False):
        expected += [pitch] * (end - first)
    assert found == expected + [REST] * 10


def test_nothing_is_asked_before_the_first_note_and_a_rest_after_the_last(rig: Rig) -> None:
    rig.play(20)
    rig.command("melody/mode", "follow")
    rig.fill()
    score = rig.stage.engine.session.stream.score
    assert score.at("melody", rig.player.next_frame) is None
    rig.command("melody/note_on", 60, 100)
    rig.play(8)
    rig.command("melody/note_off", 60)
    rig.fill()
    melody = score.at("melody", rig.player.next_frame)
    assert melody.pitch_class_at(rig.player.next_frame + 500) == 12


def test_notes_that_nobody_follows_cost_nothing(rig: Rig) -> None:
    rig.play(40)
    made = rig.stage.engine.next_frame
    identities = [rig.command("melody/note_on", pitch, 100) for pitch in range(40, 60)]
    rig.loop.turn()
    assert all(rig.answer(identity)["type"] == "applied" for identity in identities)
    assert rig.stage.engine.next_frame == made, "nothing was made again"
    mode = rig.command("melody/mode", "follow")
    rig.fill()
    rig.play(40)
    frame = rig.applied_at(mode)
    assert pitches(rig, frame, frame + 10) == [59 % 12] * 10, "they are held all the same"


def play_loop(rig: Rig, notes: list[tuple[int, float, float]], start: int) -> None:
    """Notes (pitch, first and last frame after `start`) as a player strikes them, by ear."""
    events: list[tuple[float, str, tuple[int, ...]]]
    events = [(first, "melody/note_on", (pitch, 100)) for pitch, first, _ in notes]
    events += [(end, "melody/note_off", (pitch,)) for pitch, _, end in notes]
    for at, name, args in sorted(events):
        while rig.reader_frame < start + at:
            rig.fill()
            rig.move(min(1.0, start + at - rig.reader_frame))
        rig.command(name, *args)
        rig.loop.turn()


def test_a_loop_is_captured_on_the_grid_and_repeated(rig: Rig) -> None:
    rig.play(40)
    rig.command("melody/mode", "loop")
    rig.command("melody/loop_bars", 2)
    rig.fill()
    # From bar 2 on: C for half a bar, E for a quarter of the next bar, G to its end.
    play_loop(rig, [(60, 0, 12.5), (64, 25, 31.25), (67, 37.5, 50)], 50)
    rig.play(120)
    loop = runs(pitches(rig, 100, 200))
    round_ = [(0, 12), (REST, 13), (4, 6), (REST, 6), (7, 13)]
    assert loop == round_ + round_ or loops_alike(loop, round_ * 2)
    state = rig.stage.melody.at(rig.player.stream_end)
    assert [note.pitch for note in state.loop.notes] == [60, 64, 67] if state.loop else False


def loops_alike(found: list[tuple[int, int]], expected: list[tuple[int, int]]) -> bool:
    """The same pitches, each with its length but for the rounding to frames."""
    same = [one[0] for one in found] == [one[0] for one in expected]
    return same and all(abs(one[1] - two[1]) <= 1 for one, two in zip(found, expected, strict=True))


def test_more_is_played_over_a_loop_and_clear_ends_it(rig: Rig) -> None:
    rig.play(40)
    rig.command("melody/loop_bars", 1)
    rig.command("melody/mode", "loop")
    rig.fill()
    play_loop(rig, [(60, 0, 25)], 50)
    rig.play(26)
    play_loop(rig, [(65, 12.5, 18.75)], 100)  # over the C, which is lower
    rig.play(80)
    found = runs(pitches(rig, 150, 200))
    assert loops_alike(found, [(0, 12), (5, 7), (0, 18), (5, 7), (0, 6)])
    identity = rig.command("melody/clear")
    rig.play(40)
    frame = rig.applied_at(identity)
    assert set(pitches(rig, frame, frame + 30)) == {REST}
    assert rig.stage.controls()["melody"]["mode"] == "off"


def test_a_note_just_before_the_bar_line_begins_the_loop_on_it(rig: Rig) -> None:
    rig.play(40)
    rig.command("melody/loop_bars", 1)
    rig.command("melody/mode", "loop")
    rig.fill()
    play_loop(rig, [(62, -1, 10)], 75)
    rig.play(80)
    assert loops_alike(runs(pitches(rig, 100, 150)), [(2, 11), (REST, 14)] * 2)


def test_a_loop_follows_the_tempo(rig: Rig) -> None:
    rig.play(40)
    rig.command("melody/loop_bars", 1)
    rig.command("melody/mode", "loop")
    rig.fill()
    play_loop(rig, [(60, 0, 12.5)], 50)
    rig.play(30)
    host = rig.timeline.with_tempo(125, 240.0)
    rig.tell("timeline", timeline=host.to_json(), frame=125)
    rig.play(140, step=8)
    assert loops_alike(runs(pitches(rig, 125, 225)), [(0, 25), (REST, 25)] * 2)


def midi_file(path: Path) -> Path:
    """C and D for a beat each, then E for three; its own 90 BPM must not count."""
    midi = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    midi.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(90)))
    for pitch, beats in ((60, 1), (62, 1), (64, 3)):
        track.append(mido.Message("note_on", note=pitch, velocity=90))
        track.append(mido.Message("note_off", note=pitch, time=round(480 * beats)))
    midi.save(path)
    return path


def test_a_midi_file_is_locked_to_the_bars(rig: Rig, tmp_path: Path) -> None:
    rig.play(40)
    identity = rig.command("melody/file", str(midi_file(tmp_path / "riff.mid")))
    rig.play(140)
    start = rig.timeline.next_bar_start_at_or_after(rig.applied_at(identity))
    two_bars = runs(pitches(rig, start, start + 2 * BAR))
    assert loops_alike(two_bars, [(0, 6), (2, 6), (4, 19), (REST, 19)])
    assert pitches(rig, start + 2 * BAR, start + 4 * BAR) == pitches(rig, start, start + 2 * BAR)
    assert rig.stage.controls()["melody"]["mode"] == "file"
    missing = rig.command("melody/file", str(tmp_path / "none.mid"))
    rig.fill()
    assert "does not exist" in rig.answer(missing)["reason"]


def test_which_file_plays_is_told_and_kept(rig: Rig, tmp_path: Path) -> None:
    rig.play(40)
    rig.command("melody/file", str(midi_file(tmp_path / "one.mid")))
    rig.play(60)
    rig.command("bank/save", str(tmp_path / "bank"))
    rig.command("melody/file", str(midi_file(tmp_path / "two.mid")))
    rig.play(20)
    assert rig.stage.controls()["melody"]["file"] == "two.mid"
    rig.command("gen/undo", 2)
    rig.play(60)
    assert rig.of_kind("state")[-1]["melody"]["file"] == "one.mid"
    rig.command("gen/panic")
    rig.play(40)
    assert rig.of_kind("state")[-1]["melody"]["file"] is None
    rig.command("bank/load", str(tmp_path / "bank"))
    rig.play(60)
    told = rig.of_kind("state")[-1]["melody"]
    assert (told["mode"], told["file"]) == ("file", "one.mid")


@pytest.mark.parametrize("is_file", [True, False])
def test_a_tempo_that_comes_while_a_loop_of_sound_plays_is_the_melody_s_after_it(
    rig: Rig, tmp_path: Path, is_file: bool
) -> None:
    rig.play(40)
    if is_file:
        rig.command("melody/file", str(midi_file(tmp_path / "riff.mid")))
    else:
        rig.command("melody/mode", "loop")
        rig.command("melody/loop_bars", 2)
        rig.fill()
        play_loop(rig, [(60, 0, 6.25), (62, 6.25, 12.5), (64, 12.5, 31.25)], 50)
    rig.play(70)
    rig.command("gen/freeze", 1, 2)
    rig.play(60)
    assert rig.player.frozen is not None
    changed_at = int(rig.reader_frame) + 8
    slower = rig.timeline.with_tempo(changed_at, 240.0)
    rig.tell("timeline", timeline=slower.to_json(), frame=changed_at)
    rig.play(60)
    rig.command("gen/freeze", 0, 2)
    rig.play(260, step=8)
    at = rig.player.splice.stream_frame
    expected = [(0, 12), (2, 13), (4, 38), (REST, 37)]
    found = runs(pitches(rig, at, at + 4 * BAR))
    second_bar_first = [(4, 13), (REST, 37), (0, 12), (2, 13), (4, 25)]
    assert loops_alike(found, expected) or loops_alike(found, second_bar_first)


@pytest.mark.parametrize("bpm", [BPM, 492.0, 240.0])
@pytest.mark.parametrize("way_out", [("gen/freeze", 0, 1), ("gen/retry", 1)])
def test_a_melody_that_was_played_over_a_loop_of_sound_goes_on_after_it(
    rig: Rig, way_out: tuple[str, int], bpm: float
) -> None:
    rig.play(40)
    rig.command("melody/mode", "loop")
    rig.command("melody/loop_bars", 2)
    rig.command("gen/freeze", 1, 1)
    rig.play(50)
    assert rig.player.frozen is not None
    timeline = rig.timeline.with_tempo(100, bpm)
    rig.tell("timeline", timeline=timeline.to_json(), frame=100)
    first = timeline.bar_line_at(6)
    bar = timeline.bar_line_at(7) - first
    play_loop(rig, [(60, 0, bar), (64, bar, 1.5 * bar)], round(first))
    rig.play(round(timeline.bar_line_at(10) + 4 - rig.reader_frame), step=1)
    asked = rig.command(*way_out)
    rig.play(round(7 * bar), step=8)
    at, begins = rig.player.splice.stream_frame, rig.applied_at(asked)
    assert begins in timeline.bar_start_frames(begins, begins + 1)
    found = runs(pitches(rig, at + 1, at + round(4 * bar)))
    quarter = round(bar / 2)
    one, two = [(0, 2 * quarter)], [(4, quarter), (REST, quarter)]
    both = (one + two) * 3 if timeline.bar_at(begins) % 2 == 0 else two + (one + two) * 3
    assert loops_alike(found[:4], both[:4])


def test_a_file_goes_on_through_a_respawn_of_the_worker(
    models: dict[str, MusicGen], tmp_path: Path
) -> None:
    """The new one is told the whole state: a file that is named in it does not begin again."""
    model = stand_in_model(models["frame"], StandIn())
    calls = (("attr/set", ["drums", "off"]),)
    first = Rig(model, lead_ms=400, state=calls, resume_folder=tmp_path)
    first.play(40)
    path = str(midi_file(tmp_path / "riff.mid"))
    asked = first.command("melody/file", path)
    first.play(72)
    start = first.timeline.next_bar_start_at_or_after(first.applied_at(asked))
    bar = first.stage.newest_bar()
    assert bar is not None
    assert (bar - start) // BAR % 2 == 1, "the file's second bar comes next"
    second = Rig(
        model,
        lead_ms=400,
        state=(*calls, ("melody/file", [path])),
        resume_folder=tmp_path,
        is_resume=True,
        at_frame=200,
    )
    assert second.is_resumed
    second.play(70)
    begun = second.player.splice.stream_frame
    score = second.stage.engine.session.stream.score
    told = [score.at("melody", frame).pitch_class_at(frame) for frame in range(begun, begun + 50)]
    assert loops_alike(runs(told), [(4, 6), (12, 19), (0, 6), (2, 6), (4, 13)])


def test_a_model_that_cannot_follow_says_so(models: dict[str, MusicGen], tmp_path: Path) -> None:
    rig = Rig(models["text"], lead_ms=200)
    wrong = [
        rig.command("melody/mode", "follow"),
        rig.command("melody/note_on", 60, 100),
        rig.command("melody/file", str(midi_file(tmp_path / "riff.mid"))),
    ]
    fine = [rig.command("melody/mode", "off"), rig.command("melody/note_off", 60)]
    rig.loop.turn()
    assert all("cannot follow a melody" in rig.answer(identity)["reason"] for identity in wrong)
    assert all(rig.answer(identity)["type"] == "applied" for identity in fine)


def test_undo_takes_back_what_was_played_over_a_loop(rig: Rig) -> None:
    rig.play(40)
    rig.command("melody/loop_bars", 1)
    rig.command("melody/mode", "loop")
    rig.fill()
    play_loop(rig, [(60, 0, 25)], 50)
    rig.play(26)
    play_loop(rig, [(65, 0, 12.5)], 100)
    rig.play(14)
    identity = rig.command("gen/undo", 2)
    rig.play(80)
    frame = rig.applied_at(identity)
    at = rig.player.splice.to_stream(frame)
    assert set(pitches(rig, at, at + 50)) == {0}
    state = rig.stage.melody.at(rig.player.stream_end)
    assert state.loop is not None
    assert [note.pitch for note in state.loop.notes] == [60]


def test_undo_goes_back_but_the_hands_do_not(rig: Rig) -> None:
    """A note over the bar line that was let go since, and one that is held since."""
    rig.play(40)
    rig.command("melody/mode", "follow")
    rig.play(20)
    rig.command("melody/note_on", 60, 100)
    rig.play(40)
    rig.command("melody/note_off", 60)
    rig.play(12)
    rig.command("melody/note_on", 67, 100)
    rig.play(12)
    undone = rig.command("gen/undo", 2)
    rig.play(60)
    at = rig.player.splice.to_stream(rig.applied_at(undone))
    assert set(pitches(rig, at - 3, at)) == {0}, "it was held there"
    assert set(pitches(rig, at, at + 20)) == {7}
    released = rig.command("melody/note_off", 67)
    rig.play(40)
    at = rig.player.splice.to_stream(rig.applied_at(released))
    assert set(pitches(rig, at + 3, at + 20)) == {REST}


def test_what_is_held_is_held_in_a_bank_that_is_loaded(rig: Rig, tmp_path: Path) -> None:
    rig.play(40)
    rig.command("melody/mode", "follow")
    rig.play(60)
    rig.command("bank/save", str(tmp_path / "a.safetensors"))
    rig.play(20)
    rig.command("melody/note_on", 64, 100)
    rig.play(20)
    rig.command("bank/load", str(tmp_path / "a.safetensors"))
    rig.play(60)
    at = rig.player.splice.stream_frame
    assert set(pitches(rig, at, at + 20)) == {4}
    rig.command("gen/panic")
    rig.play(60)
    assert not rig.stage.melody.at(rig.player.stream_end).held


def test_a_loop_is_in_the_bank(rig: Rig, tmp_path: Path) -> None:
    rig.play(40)
    rig.command("melody/loop_bars", 2)
    rig.command("melody/mode", "loop")
    rig.fill()
    play_loop(rig, [(60, 0, 25), (67, 25, 50)], 50)
    rig.play(80)
    saved = rig.command("bank/save", str(tmp_path / "a.safetensors"))
    rig.fill()
    assert rig.answer(saved)["type"] == "applied"
    rig.command("melody/clear")
    rig.play(30)
    loaded = rig.command("bank/load", str(tmp_path / "a.safetensors"))
    rig.play(100)
    at = rig.player.splice.stream_frame
    assert at == take.load(tmp_path / "a.safetensors").frames
    found = runs(pitches(rig, at, at + 75))
    assert loops_alike(found, [(0, 25), (7, 25), (0, 25)]) or loops_alike(
        found, [(7, 25), (0, 25), (7, 25)]
    )
    assert rig.applied_at(loaded) % BAR == 0
    assert rig.of_kind("state")[-1]["melody"]["mode"] == "loop"


def test_beats_fall_on_the_sessions_beats(models: dict[str, MusicGen]) -> None:
    """Through an undo, a bank and a hole: a click on each beat of control's own timeline."""
    timeline = Timeline.start(BPM)
    rig = Rig(stand_in_model(models["frame"], StandIn()), lead_ms=400, timeline=timeline)
    rig.play(80)
    rig.command("gen/undo", 1)
    rig.play(60)
    rig.move(40)
    rig.play(80)
    heard = np.nan_to_num(rig.heard[0])
    clicks = np.nonzero((heard[1:] > 0.7) & (heard[:-1] <= 0.7))[0] + 1 + rig.heard_from
    beats = np.array([timeline.beat_at(sample / 640) for sample in clicks])
    assert len(clicks) > 30
    assert np.abs(beats - np.round(beats)).max() <= 0.5 * 480 / 60 / 50 + 1e-3
    assert int((rig.codes(100, 125)[0] == BEAT).sum()) == 4


def test_a_note_between_others_that_were_set_for_later(rig: Rig) -> None:
    """A client's time-tagged notes lie ahead; one that is played by hand comes before them."""
    rig.play(40)
    rig.command("melody/mode", "follow", frame=70)
    rig.command("melody/note_on", 64, 100, frame=80)
    rig.command("melody/note_off", 64, frame=90)
    rig.fill()
    rig.move(10)
    rig.command("melody/note_on", 60, 100)
    rig.play(80)
    assert pitches(rig, 60, 100) == [REST] * 10 + [0] * 10 + [4] * 10 + [0] * 10


def test_of_a_chord_the_chosen_line_is_followed(rig: Rig) -> None:
    rig.play(40)
    rig.command("melody/mode", "follow")
    for pitch, velocity in ((60, 90), (64, 110), (67, 70)):
        rig.command("melody/note_on", pitch, velocity)
    rig.play(10)
    for line, expected in (("low", 0), ("strongest", 4), ("last", 7), ("top", 7)):
        identity = rig.command("melody/line", line)
        rig.play(10)
        frame = rig.applied_at(identity)
        assert pitches(rig, frame + 1, frame + 6) == [expected] * 5
    refused = rig.command("melody/line", "middle")
    rig.fill()
    assert "expected top, low, last, strongest" in rig.answer(refused)["reason"]


@pytest.mark.parametrize("release", ["rest", "keep", "free"])
def test_what_follows_the_last_note_is_a_setting(rig: Rig, release: str) -> None:
    rig.play(20)
    rig.command("melody/release", release)
    rig.command("melody/mode", "follow")
    rig.command("melody/note_on", 62, 100)
    rig.play(12)
    off = rig.command("melody/note_off", 62)
    rig.play(40)
    frame = rig.applied_at(off) + 5
    melody = rig.stage.engine.session.stream.score.at("melody", frame)
    asked = None if melody is None else melody.pitch_class_at(frame)
    assert asked == {"rest": 12, "keep": 2, "free": None}[release]
    assert rig.stage.controls()["melody"]["release"] == release
