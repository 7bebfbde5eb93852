"""Songs from TOML: what holds in a section, and errors that name the section before any work."""

from __future__ import annotations

import json
from pathlib import Path

import mido
import pytest

from musicgen_rt.errors import AudioFileError, ParameterError, PromptError
from musicgen_rt.live.prompt import Prompt
from musicgen_rt.live.song import Song
from musicgen_rt.live.song_file import read_song
from musicgen_rt.offline.recipe import Recipe

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "song.toml"
A = '[[section]]\nname = "A"\nbars = 4\nprompt = "house"\n'
B = '[[section]]\nname = "B"\nbars = 2\nprompt = "rock"\n'


def song_of(text: str, folder: Path) -> Song:
    path = folder / "song.toml"
    path.write_text(text, encoding="utf-8")
    return read_song(path).song


def test_a_section_says_what_differs_from_the_song(tmp_path: Path) -> None:
    top = 'title = "T"\nbpm = 90\nkey = "C minor"\nattributes = { drums = true, bass = true }\n'
    song = song_of(f"{top}{A}{B}bpm = 100\nattributes = {{ bass = false }}\n", tmp_path)
    first, second = song.sections
    assert (song.title, song.bars, song.first_bars) == ("T", 6, (0, 4))
    assert (first.bpm, first.beats_per_bar, first.key) == (90, 4, "C minor")
    assert (second.bpm, second.key) == (100, "C minor")
    assert second.attributes == {"drums": True, "bass": False}


def test_a_recall_is_what_it_recalls_but_for_what_it_says(tmp_path: Path) -> None:
    tune = "melody = { beats = 4, notes = [[0, 1, 60]] }\nparameters = { cfg = 2.0, top_k = 50 }\n"
    again = '[[section]]\nname = "A2"\nbars = 8\nrecall = "A"\nprompts = { "waltz" = 2.0 }\n'
    song = song_of(A + tune + B + again + "parameters = { cfg = 4.0 }\n", tmp_path)
    first, _, recalled = song.sections
    assert recalled.melody == first.melody is not None
    assert recalled.prompts == (Prompt("waltz", 2.0),)
    assert recalled.parameters == {"cfg": 4.0, "top_k": 50}
    assert recalled.bars == 8


def test_key_and_tempo_are_told_where_the_text_does_not_say_them(tmp_path: Path) -> None:
    hinted = song_of('bpm = 92.5\nkey = "F# minor"\n' + A, tmp_path)
    assert hinted.sections[0].texts == ("house, F# minor, 92.5 bpm",)
    said = song_of('key = "A minor"\n' + A.replace("house", "house in A Minor, 120 BPM"), tmp_path)
    assert said.sections[0].texts == ("house in A Minor, 120 BPM",)


def test_a_melody_may_be_a_midi_file_beside_the_song(tmp_path: Path) -> None:
    """Its top line, in beats whatever its own tempo, looped by whole beats."""
    midi, track = mido.MidiFile(ticks_per_beat=480), mido.MidiTrack()
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(200)))
    for pitch in (60, 64):
        track.append(mido.Message("note_on", note=pitch, velocity=90, time=0))
        track.append(mido.Message("note_off", note=pitch, time=600))
    midi.tracks.append(track)
    midi.save(tmp_path / "tune.mid")
    melody = song_of(A + 'melody = "tune.mid"\n', tmp_path).sections[0].melody
    assert melody is not None
    assert melody.loop_beats == 3.0
    assert [pitch for _, _, pitch in melody.notes] == [60, 64]
    assert [start for start, _, _ in melody.notes] == pytest.approx([0.0, 1.25])


def test_a_song_goes_through_json_and_a_recipe(tmp_path: Path) -> None:
    recipe = Recipe(model="tiny", song=read_song(EXAMPLE).song)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_the_example_is_an_aaba_of_six_minutes() -> None:
    read = read_song(EXAMPLE)
    assert read.model is None
    assert sum(60 / s.bpm * s.beats_per_bar * s.bars for s in read.song.sections) == 360
    recalled = [s.recall for s in read.song.sections]
    assert recalled.count("A1") == 4 and recalled.count("B1") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the song is empty"),
        ("section = 3\n", r"expected \[\[section\]\]"),
        ("bpm = [\n", "is not TOML"),
        ("speed = 3\n" + A, "key 'speed'"),
        (A + "speed = 3\n", "section 'A': key 'speed'"),
        (A + "start_bar = 2\n", "start_bar is 2: expected 1"),
        (A + B + "start_bar = 3\n", "'B' begins in bar 3 and overlaps 'A'.*expected start_bar 5"),
        (A + B + "start_bar = 9\n", "start_bar is 9: expected 5"),
        (A + A, "2 sections are named 'A'"),
        (A + 'recall = "A"\n', "expected none, since it is the first"),
        (A + 'recall = "B"\n' + B, "'A' recalls 'B', which has not been played by then"),
        (A + B + 'recall = "C"\n', "recalls 'C', which is none: expected one of A"),
        (A.replace("bars = 4", "bars = 0"), "section 'A': bars is 0: expected 1 to 1000"),
        (A.replace("bars = 4\n", ""), "section 'A' has no bars"),
        (A.replace('prompt = "house"', ""), "section 'A': no prompt"),
        (A.replace('"house"', '""'), "section 'A': .*empty"),
        (A + 'prompts = { "x" = 1 }\n', "prompt and prompts"),
        (A + "bpm = 5\n", "section 'A': bpm is 5: expected 20 to 999"),
        (A + "beats_per_bar = 99\n", "beats_per_bar is 99"),
        (A + 'key = "H major"\n', "key is 'H major'"),
        (A + "transition_bars = 5\n", "expected at most its 4 bars"),
        (A + "memory_bars = 2\n", "memory_bars is given without recall"),
        (A + "parameters = { speed = 1 }\n", "parameter 'speed'"),
        (A + "parameters = { cfg = 99 }\n", "cfg is 99"),
        (A + "parameters = 3\n", "parameters is 3: expected a table"),
        (A + 'attributes = { drums = "on" }\n', "attribute drums is 'on'"),
        (A + "melody = 3\n", "section 'A': melody: expected"),
        (A + "melody = { beats = 4, notes = [] }\n", "0 notes"),
        (A + "melody = { beats = 4, notes = [[4, 1, 60]] }\n", "starting within the melody's 4"),
        (A + "melody = { beats = 4, notes = [[0, 1, 200]] }\n", "pitch 200"),
        (A + 'melody = "tune.wav"\n', "expected a MIDI file"),
        ("title = 3\n" + A, "expected texts"),
    ],
)
def test_a_wrong_song_is_told_by_section_and_value(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        song_of(text, tmp_path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="is no file"):
        read_song(tmp_path / "none.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(ParameterError, match="is no file of up to"):
        read_song(tmp_path / "big.toml")
    with pytest.raises(AudioFileError, match=r"tune\.mid does not exist"):
        song_of(A + 'melody = "tune.mid"\n', tmp_path)
    with pytest.raises(PromptError, match="prompt is 3"):
        song_of(A.replace('"house"', "3"), tmp_path)


def test_a_transition_needs_places_for_the_prompts_of_both_sections(tmp_path: Path) -> None:
    def many(letter: str) -> str:
        return ", ".join(f'"{letter}{n}" = 1' for n in range(5))

    rows = [
        f'[[section]]\nname = "{letter}"\nbars = 2\nprompts = {{ {many(letter)} }}\n'
        for letter in "xy"
    ]
    assert song_of("".join(rows), tmp_path).bars == 4
    with pytest.raises(ParameterError, match="a transition among 10 prompts"):
        song_of("".join(rows) + "transition_bars = 1\n", tmp_path)


def test_a_recipe_with_a_song_says_nothing_twice() -> None:
    with pytest.raises(ParameterError, match="bpm is given beside a song"):
        Recipe(model="tiny", song=read_song(EXAMPLE).song, bpm=100.0)
