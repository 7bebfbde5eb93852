"""The parts of an evaluation on a tiny checkpoint: that they run, add up and can be repeated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicgen_rt.commands.evaluate import MEASURES
from musicgen_rt.errors import ParameterError
from musicgen_rt.evaluate.demo import chosen, write_demos
from musicgen_rt.evaluate.demo_pieces import DEMO_PIECES, Change, DemoPiece
from musicgen_rt.evaluate.pocket_codec import evaluate_checkpoint_codec, through_opus
from musicgen_rt.evaluate.pocket_control import Stage, evaluate_control
from musicgen_rt.evaluate.pocket_endless import evaluate_endless
from musicgen_rt.evaluate.pocket_live import play_with_change
from musicgen_rt.evaluate.pocket_pieces import RATE_HZ
from musicgen_rt.evaluate.pocket_play import Event, Player, Told
from musicgen_rt.evaluate.pocket_report import PARTS, PocketSettings
from musicgen_rt.evaluate.pocket_targets import TARGETS, reached, table
from tests.evaluate.music import request, tone

# Judges are taught and music is played first: minutes on a busy machine.
pytestmark = pytest.mark.timeout(900)


def _ignore(label: str, done: int, total: int) -> None:
    pass


def test_control_reports_every_performer_and_group(stage: Stage) -> None:
    report = evaluate_control(stage, 2)
    assert report["told"] == {
        "clock": True,
        "melody": True,
        "attributes": ["drums", "bass", "lead"],
    }
    figures = report["figures"]["tempo_within_2_percent"]
    assert figures.keys() == {"model", "generator", "codec", "shuffled"}
    assert figures["generator"].keys() == {"all", "drums", "no_drums"}
    assert report["groups"]["all"] == 2
    # Random weights do not play what they are asked for; the generator does.
    phase = report["figures"]["phase_within_20_ms"]
    assert phase["generator"]["all"] >= phase["model"]["all"]
    json.dumps(report, allow_nan=False)


def test_a_take_is_the_same_however_it_is_cut(player: Player) -> None:
    asked = request(120.0, seconds=3.0)
    whole = player.play(asked, 3.0, seed=3).samples
    player.begin(asked, 3.0, seed=3, told=Told())
    parts = np.concatenate([player.go_on(1.01), player.go_on(1.99)])
    assert len(whole) == 3 * RATE_HZ
    assert np.abs(whole - parts).max() <= 1e-5
    assert np.abs(whole - player.play(asked, 3.0, seed=4).samples).max() > 1e-3


def test_a_change_happens_on_the_bar_line_after_ten_seconds(stage: Stage) -> None:
    take, change = play_with_change(
        stage,
        request(125.0, seconds=12.0),
        12.0,
        seed=0,
        told=Told(),
        events=lambda frame: [Event(frame, lambda engine: engine.set_tempo(150.0))],
    )
    # Bars of 1.92 s: the sixth line is at 11.52 s.
    assert change == pytest.approx(11.52)
    edges = np.array(take.request.grid.edges_seconds)
    assert np.diff(edges[:25]) == pytest.approx(0.48)
    assert np.diff(edges[25:]) == pytest.approx(0.4)


def test_endless_counts_bars_and_stretches(stage: Stage) -> None:
    report = evaluate_endless(stage, 1, 0.25)
    [take] = report["takes"]
    assert take["bars"] == pytest.approx(15.0 * take["bpm"] / 60.0 / 4, abs=3)
    assert len(take["pitch_class_entropy_bits"]) == 1
    assert report["worst"]["silent_bars"] == take["silent_bars"]
    json.dumps(report, allow_nan=False)


def test_codec_of_a_checkpoint_and_opus_beside_it(player: Player) -> None:
    report = evaluate_checkpoint_codec(player.model.codec, 1, _ignore)
    assert report["clips"] == 1
    assert report["bits_per_second"] == 4 * 6 * 50
    assert report["opus"] is None or report["opus"]["log_mel_distance_db"] > 0


def test_opus_keeps_the_place_and_the_pitch() -> None:
    if "OPUS" not in soundfile.available_subtypes("OGG"):
        pytest.skip("this libsndfile has no Opus")
    wave = tone(57, 1.0)
    decoded = through_opus(wave, RATE_HZ)
    assert len(decoded) == len(wave)
    spectrum = np.abs(np.fft.rfft(decoded))
    assert np.argmax(spectrum) == pytest.approx(220, abs=1)


def test_targets_name_what_is_missed() -> None:
    report = {"speed": {"x_real_time": 5.0, "load_seconds": 1.5}}
    rows = reached(report)
    assert [row.is_reached for row in rows] == [False, True]
    assert "not reached" in table(rows).splitlines()[1]
    parts = {target.place.split(".")[0] for target in TARGETS}
    assert parts <= PARTS.keys()


@pytest.mark.parametrize(
    "values", [{"clips": 0}, {"prompts": -1}, {"minutes": 0.1}, {"parts": ("taste",)}]
)
def test_settings_out_of_range_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ParameterError, match="expected"):
        PocketSettings(**values)  # type: ignore[arg-type]


def test_demos_are_written_with_pictures_and_a_page(player: Player, tmp_path: Path) -> None:
    piece = DemoPiece(
        "waltz",
        "funk, then a waltz",
        bpm=150.0,
        bars=5,
        parts={"drums": True},
        tune=((0.0, 1.0, 60), (1.0, 2.0, 64)),
        changes=(Change(3, beats_per_bar=3, parts={"drums": False}), Change(2, prompt="rock")),
    )
    [audio] = write_demos(player, tmp_path, "flac", _ignore, [piece])
    # Three bars of four beats and two of three.
    assert soundfile.info(audio).duration == pytest.approx(18 * 60 / 150, abs=0.03)
    assert (tmp_path / "waltz.png").stat().st_size > 10_000
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "from bar 4: 3/4, drums off" in page
    assert "waltz" in json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))


def test_unknown_demos_and_formats_are_refused(player: Player, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="expected one of 1-house"):
        chosen(["9-none"])
    with pytest.raises(ParameterError, match="opus or flac"):
        write_demos(player, tmp_path, "mp3", _ignore)


def test_there_are_eight_demos_and_measures_are_registered() -> None:
    assert len({piece.name for piece in DEMO_PIECES}) == 8
    assert {"pocket", "demos"} <= MEASURES.keys()
    assert all(measure.HELP for measure in MEASURES.values())
