"""Clips of the music generator as files: WAV, JSON and MIDI, for listening and for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from musicgen_rt.train.config import require_range
from musicgen_rt.train.music import captions, export, generate_clip
from musicgen_rt.train.whole_file import write_atomically


@dataclass(frozen=True)
class DataConfig:
    """`clips` clips from `first_seed` on, into `folder`, with captions in a text file each."""

    folder: str
    clips: int
    first_seed: int = 0
    seconds: float = 30.0
    rate_hz: int = 32_000
    captions_per_clip: int = 4
    held_out_captions: bool = False

    def __post_init__(self) -> None:
        require_range("clips", self.clips, 1, 10_000_000)
        require_range("first_seed", self.first_seed, 0, 1 << 40)
        require_range("captions_per_clip", self.captions_per_clip, 0, 1000)


def export_data(config: DataConfig, report: Callable[[str], None] = print) -> None:
    """Writes the clips that are not there yet, each complete when its text file is.

    Raises AudioFileError or CheckpointError for what cannot be written.
    """
    folder = Path(config.folder)
    for done in range(config.clips):
        seed = config.first_seed + done
        texts = folder / f"{seed}.txt"
        if not texts.exists():
            clip = generate_clip(seed, config.seconds, config.rate_hz)
            export(clip, folder, str(seed))
            stated = captions(clip.truth, seed, config.captions_per_clip, config.held_out_captions)
            # A caption may have lines of its own; here each is one.
            lines = [" ".join(caption.text.split()) for caption in stated]
            write_atomically(texts, "".join(line + "\n" for line in lines))
        report(f"wrote {done + 1} of {config.clips} clips")
