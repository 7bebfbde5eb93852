"""Plays the demo pieces, live: what changes, changes when its bar has come.

The same model gives the same music. Each piece becomes a small audio file and a picture; a page
with all of them and their figures stands beside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from musicgen_rt.errors import AudioFileError, ParameterError
from musicgen_rt.evaluate.demo_pieces import DEMO_PIECES, Change, DemoPiece, Tune
from musicgen_rt.evaluate.pocket_bend import steady_grid
from musicgen_rt.evaluate.pocket_ears import EarFigures, ear_figures
from musicgen_rt.evaluate.pocket_judges import Watch
from musicgen_rt.evaluate.pocket_picture import draw_spectrogram
from musicgen_rt.evaluate.pocket_pieces import Request, Samples
from musicgen_rt.evaluate.pocket_play import Player, Told
from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import Melody, melody_from_notes
from musicgen_rt.model.notes import Note

FORMATS = ("opus", "flac")
# Opus knows few rates; this one holds all that 32 kHz does.
_OPUS_RATE_HZ = 48_000
_LOUDEST = 0.98
_PAGE = "README.md"


@dataclass(frozen=True)
class Rendered:
    """A piece as it was played: mono samples [N] and the beats as they were asked for."""

    piece: DemoPiece
    samples: Samples
    rate_hz: int
    beats_seconds: tuple[float, ...]
    bars_seconds: tuple[float, ...]


def write_demos(
    player: Player,
    folder: Path,
    audio_format: str,
    watch: Watch,
    pieces: Sequence[DemoPiece] = DEMO_PIECES,
) -> list[Path]:
    """Plays the pieces into `folder`; returns the audio files.

    Raises ParameterError for an unknown format, AudioFileError where nothing can be written.
    """
    if audio_format not in FORMATS:
        raise ParameterError(f"the format is {audio_format!r}: expected {' or '.join(FORMATS)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioFileError(f"{folder} cannot be made: {error.strerror}") from error
    written, figures = [], {}
    for index, piece in enumerate(pieces):
        watch("demos", index, len(pieces))
        rendered = render_demo(player, piece)
        audio = folder / f"{piece.name}.{audio_format}"
        _write_audio(audio, rendered)
        _draw(folder / f"{piece.name}.png", rendered)
        frame_rate_hz = round(player.model.config.frame_rate_hz)
        figures[piece.name] = ear_figures(rendered.samples, rendered.rate_hz, frame_rate_hz)
        written.append(audio)
    watch("demos", len(pieces), len(pieces))
    _write_page(folder, pieces, audio_format, figures)
    return written


def render_demo(player: Player, piece: DemoPiece) -> Rendered:
    """Plays one piece. Parts that the model cannot be asked for are left to it."""
    engine = player.engine
    rate_hz = player.model.config.frame_rate_hz
    player.begin(_request(piece), 1.0, seed=piece.seed, told=Told(melody=False))
    if piece.tune and player.has_melody:
        engine.set_melody(_melody(piece.tune, piece.tune_beats, piece.bpm))
    for change in sorted(piece.changes, key=lambda change: change.bar):
        player.until(_bar_frame(engine, change.bar))
        _apply(player, piece, change)
    seconds = _bar_frame(engine, piece.bars) / rate_hz
    samples = player.go_on(seconds)
    # Lowered where the file would clip: what is measured and drawn is what is heard.
    samples = samples * min(1.0, _LOUDEST / max(float(np.abs(samples).max(initial=0.0)), 1e-9))
    bars = [frame / rate_hz for frame in _bar_frames(engine, piece.bars)]
    return Rendered(
        piece,
        samples,
        player.model.config.sampling_rate_hz,
        tuple(_beats(engine, seconds)),
        tuple(bars),
    )


def chosen(names: Sequence[str]) -> list[DemoPiece]:
    """The pieces of these names, all without any. Raises ParameterError for an unknown one."""
    known = {piece.name: piece for piece in DEMO_PIECES}
    for name in names:
        if name not in known:
            raise ParameterError(f"demo {name!r}: expected one of {', '.join(known)}")
    return [piece for piece in DEMO_PIECES if not names or piece.name in names]


def _request(piece: DemoPiece) -> Request:
    grid = steady_grid(piece.bpm, piece.beats_per_bar, 60.0)
    return Request(piece.seed, piece.prompt, "", piece.bpm, grid, (), dict(piece.parts))


def _apply(player: Player, piece: DemoPiece, change: Change) -> None:
    engine = player.engine
    if change.bpm is not None or change.beats_per_bar is not None:
        engine.set_tempo(_bpm_now(engine) if change.bpm is None else change.bpm,
                         change.beats_per_bar)  # fmt: skip
    if change.prompt is not None:
        engine.set_prompt(change.prompt)
    if change.tune is not None and player.has_melody:
        engine.set_melody(_melody(change.tune, piece.tune_beats, _bpm_now(engine)))
    for name, is_on in change.parts.items():
        if name in player.attributes:
            engine.set_attribute(name, is_on)


def _melody(tune: Tune, beats: float, bpm: float) -> Melody:
    """A tune in seconds at its tempo, in a loop."""
    beat_seconds = 60.0 / bpm
    notes = [
        Note(pitch, start * beat_seconds, (start + length) * beat_seconds)
        for start, length, pitch in tune
    ]
    loop_seconds = beats * beat_seconds
    return melody_from_notes(notes, length_seconds=loop_seconds, loop_seconds=loop_seconds)


def _bpm_now(engine: Engine) -> float:
    timeline = engine.timeline
    assert timeline is not None
    return timeline.bpm_at(engine.next_frame)


def _bar_frame(engine: Engine, bar: int) -> int:
    timeline = engine.timeline
    assert timeline is not None
    return timeline.bar_start_frame(bar)


def _bar_frames(engine: Engine, bars: int) -> list[int]:
    return [_bar_frame(engine, bar) for bar in range(bars + 1)]


def _beats(engine: Engine, seconds: float) -> list[float]:
    timeline, rate_hz = engine.timeline, engine.model.config.frame_rate_hz
    assert timeline is not None
    beats = int(np.floor(timeline.beat_at(seconds * rate_hz)))
    return [timeline.frame_at(beat) / rate_hz for beat in range(beats + 1)]


def _write_audio(path: Path, rendered: Rendered) -> None:
    samples, rate_hz = rendered.samples, rendered.rate_hz
    is_opus = path.suffix == ".opus"
    if is_opus:
        samples, rate_hz = soxr.resample(samples, rate_hz, _OPUS_RATE_HZ), _OPUS_RATE_HZ
    kind = {"format": "OGG", "subtype": "OPUS"} if is_opus else {"subtype": "PCM_16"}
    try:
        soundfile.write(path, samples, rate_hz, **kind)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioFileError(
            f"{path} cannot be written ({error}): expected a folder that allows writing and has "
            "room, and a libsndfile that knows the format"
        ) from error


def _draw(path: Path, rendered: Rendered) -> None:
    draw_spectrogram(
        path,
        rendered.samples,
        rendered.rate_hz,
        rendered.piece.prompt,
        rendered.beats_seconds,
        rendered.bars_seconds,
    )


def _write_page(
    folder: Path,
    pieces: Sequence[DemoPiece],
    audio_format: str,
    figures: dict[str, EarFigures],
) -> None:
    """The page of all pieces, and their figures as JSON."""
    table: dict[str, Any] = {name: asdict(row) for name, row in figures.items()}
    text = json.dumps(table, indent=2) + "\n"
    (folder / "figures.json").write_text(text, encoding="utf-8")
    lines = [
        "# Demos",
        "",
        "Played by `musicgen-rt evaluate demos`; nothing was chosen or edited. The lines in the",
        "pictures are the beats and bars that the host asked for. `figures.json` holds what an ear",
        "might object to, as numbers.",
        "",
    ]
    for piece in pieces:
        lines += [f"## [{piece.name}]({piece.name}.{audio_format})", "", *_description(piece), ""]
        lines += [f"![spectrogram of {piece.name}]({piece.name}.png)", ""]
    (folder / _PAGE).write_text("\n".join(lines), encoding="utf-8")


def _description(piece: DemoPiece) -> list[str]:
    """What was asked for, a line each."""
    parts = ", ".join(f"{name} {'on' if on else 'off'}" for name, on in piece.parts.items())
    tune = ", a tune given as notes" if piece.tune else ""
    first = f'"{piece.prompt}": {piece.bpm:g} BPM, {piece.beats_per_bar}/4, {parts}{tune}.'
    changes = [_change_line(change) for change in piece.changes]
    return [first, "", *changes] if changes else [first]


def _change_line(change: Change) -> str:
    said = [
        f"{change.bpm:g} BPM" if change.bpm is not None else "",
        f"{change.beats_per_bar}/4" if change.beats_per_bar is not None else "",
        f'"{change.prompt}"' if change.prompt is not None else "",
        "another tune" if change.tune is not None else "",
        *(f"{name} {'on' if on else 'off'}" for name, on in change.parts.items()),
    ]
    return f"- from bar {change.bar + 1}: {', '.join(part for part in said if part)}"
