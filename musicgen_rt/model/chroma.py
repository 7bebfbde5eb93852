"""Chroma: the pitch class of a melody, from audio or straight from notes.

Melody checkpoints were trained on one-hot chroma of audio: one row for each hop of 4096 samples at
32 kHz (7.8125 Hz), made by `ChromaExtractor`. `notes_to_chroma` gives the rows that the extractor
would give for the same notes played, without any audio. Frame conditioners take a pitch class for
each codec frame instead: `notes_to_frame_classes`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor
from torch.nn import functional

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.notes import Note, reduce_polyphony

__all__ = [
    "NUM_CHROMA",
    "REST_CLASS",
    "ChromaExtractor",
    "ChromaParameters",
    "Note",
    "RestPolicy",
    "fit_length",
    "notes_to_chroma",
    "notes_to_frame_classes",
    "one_hot_classes",
    "reduce_polyphony",
]

NUM_CHROMA = 12
REST_CLASS = 12
"""The class of a frame without pitch, beside 0 (C) to 11 (B)."""

RestPolicy = Literal["hold", "null"]
"""What a rest becomes in one-hot chroma, which has no row for it: see `notes_to_chroma`."""

_FRAMES_AT_ONCE = 64
_SILENT_CHROMA = 1e-6  # the floor below which the reference stops normalising
_SILENT_ENERGY = 1e-9
_EQUAL_ENERGY = 1e-6
_BANK_CENTRE_PITCH = 81
_BANK_HALF_WIDTH_OCTAVES = 2.0


@dataclass(frozen=True)
class ChromaParameters:
    """How a checkpoint's chroma was made; the defaults are those of all published ones."""

    sample_rate_hz: int = 32000
    n_fft: int = 16384
    hop_samples: int = 4096

    def __post_init__(self) -> None:
        for name in ("sample_rate_hz", "n_fft", "hop_samples"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}: expected 1 or more")

    @property
    def hop_seconds(self) -> float:
        """Time from one chroma frame to the next."""
        return self.hop_samples / self.sample_rate_hz

    @property
    def half_window_seconds(self) -> float:
        """How far the window of a chroma frame reaches to either side of its centre."""
        return self.n_fft / 2 / self.sample_rate_hz


class ChromaExtractor:
    """One-hot chroma of mono audio, equal to transformers' MusicgenMelodyFeatureExtractor.

    Unlike the reference it neither cuts audio at 30 s nor separates stems: feed it a melody
    without drums and bass, as the checkpoints were trained on "vocals" and "other" stems. Other
    sample rates are resampled with soxr where the reference uses torchaudio, so only audio at the
    checkpoint's own rate gives the very same rows. Immutable; any thread may use it.
    """

    def __init__(self, parameters: ChromaParameters | None = None) -> None:
        # Imported here: transformers takes seconds, and notes do without the filter bank.
        from transformers.audio_utils import chroma_filter_bank

        self.parameters = parameters or ChromaParameters()
        bank = chroma_filter_bank(
            num_frequency_bins=self.parameters.n_fft,
            num_chroma=NUM_CHROMA,
            sampling_rate=self.parameters.sample_rate_hz,
            tuning=0.0,
        )
        self._bank = torch.from_numpy(bank).float()  # [12, n_fft / 2 + 1]
        window = torch.hann_window(self.parameters.n_fft)
        self._window = window / window.square().sum().sqrt()  # [n_fft]

    def extract(self, samples: npt.NDArray[np.float32], rate_hz: int) -> Tensor:
        """One-hot chroma of mono samples [N] at `rate_hz`: float32 [T, 12].

        T = 1 + N // hop_samples after resampling; frame i is centred at i * hop. Silence is
        class 0. Raises ParameterError for samples that are empty, not mono or not finite.
        """
        return one_hot_classes(self._raw_chroma(samples, rate_hz).argmax(dim=-1))

    def pitch_classes(self, samples: npt.NDArray[np.float32], rate_hz: int) -> Tensor:
        """The class of each chroma frame, int64 [T], with `REST_CLASS` where nothing sounds.

        Nothing sounds below about -94 dBFS. Raises as `extract` does.
        """
        raw = self._raw_chroma(samples, rate_hz)
        strongest, classes = raw.max(dim=-1)
        return torch.where(strongest < _SILENT_CHROMA, REST_CLASS, classes)

    def _raw_chroma(self, samples: npt.NDArray[np.float32], rate_hz: int) -> Tensor:
        """Energy in each pitch class: float32 [T, 12]."""
        padded = self._padded(_checked(samples, rate_hz), rate_hz)
        frames = padded.unfold(0, self.parameters.n_fft, self.parameters.hop_samples)
        rows = []
        for some in torch.split(frames, _FRAMES_AT_ONCE):  # [<= 64, n_fft]; keeps memory flat
            power = torch.fft.rfft(some * self._window).abs().square()
            rows.append(power @ self._bank.T)
        return torch.cat(rows)

    def _padded(self, samples: npt.NDArray[np.float32], rate_hz: int) -> Tensor:
        """Samples [N] at the checkpoint's rate with half a window of reflection at both ends."""
        wanted_hz, n_fft = self.parameters.sample_rate_hz, self.parameters.n_fft
        if rate_hz != wanted_hz:
            samples = soxr.resample(samples, rate_hz, wanted_hz)
        signal = torch.from_numpy(np.ascontiguousarray(samples))
        missing = max(0, n_fft - len(signal))
        signal = functional.pad(signal, (missing // 2, missing - missing // 2))
        return functional.pad(signal[None], (n_fft // 2, n_fft // 2), mode="reflect")[0]


def one_hot_classes(classes: Tensor) -> Tensor:
    """int64 [T] -> float32 [T, 12]; `REST_CLASS` becomes class 0, the null melody's row."""
    return functional.one_hot(classes % NUM_CHROMA, NUM_CHROMA).float()


def fit_length(chroma: Tensor, start_frame: int, num_frames: int) -> Tensor:
    """`num_frames` rows of chroma [T, 12] from row `start_frame` on, going round at the end.

    Start 0 repeats short chroma and cuts long chroma as transformers does for `chroma_length`;
    a running start continues where the last window was, as audiocraft does for long music.

    Raises ParameterError for chroma without rows.
    """
    if chroma.shape[0] == 0:
        raise ParameterError("chroma has no rows: expected [T, 12] with T of 1 or more")
    rows = torch.arange(start_frame, start_frame + num_frames, device=chroma.device)
    return chroma[rows % chroma.shape[0]]


def notes_to_chroma(
    notes: Sequence[Note],
    start_seconds: float,
    num_frames: int,
    *,
    hop_seconds: float = 0.128,
    half_window_seconds: float = 0.256,
    rest: RestPolicy = "hold",
) -> Tensor:
    """The one-hot chroma that the extractor would give for these notes: float32 [T, 12].

    Frame i is centred at start_seconds + i * hop_seconds. Each pitch class counts velocity^2 times
    the overlap of its notes with the extractor's squared Hann window, times the weight that the
    extractor's filter bank gives to their register, and the greatest wins. Give it one line: a
    chord flickers between its notes, here as in the reference.

    A frame that no note touches is a rest: "hold" repeats the class of the note that ended last
    (class 0 when none has), "null" is always class 0, which is also the null melody.

    Against the extractor only the frames beside a note change may differ, by one frame, where the
    change lies close to the middle between two frame centres. Notes shorter than a hop can be
    missed by either.

    Raises ParameterError for an unknown rest policy.
    """
    if rest not in get_args(RestPolicy):
        raise ParameterError(f"the rest policy is {rest!r}: expected hold or null")
    centres = start_seconds + hop_seconds * torch.arange(num_frames, dtype=torch.float64)
    energy = [_energy(notes, some, half_window_seconds) for some in torch.split(centres, 256)]
    silent, classes = _strongest_class(torch.cat(energy))
    held = torch.zeros_like(classes)
    if rest == "hold":
        held[silent] = _last_ended(notes, centres[silent].tolist())
    return one_hot_classes(torch.where(silent, held, classes))


def notes_to_frame_classes(
    notes: Sequence[Note], frame_rate_hz: float, start_frame: int, num_frames: int
) -> Tensor:
    """The pitch class of the highest note at the centre of each codec frame: int64 [T].

    `REST_CLASS` where no note sounds. Frame f is centred at (f + 0.5) / frame_rate_hz seconds.
    """
    classes = torch.full((num_frames,), REST_CLASS, dtype=torch.int64)
    for note in sorted(notes, key=lambda note: note.pitch):
        first = _first_frame_from(note.start_seconds, frame_rate_hz) - start_frame
        end = _first_frame_from(note.end_seconds, frame_rate_hz) - start_frame
        classes[max(0, first) : max(0, end)] = note.pitch_class
    return classes


def _strongest_class(energy: Tensor) -> tuple[Tensor, Tensor]:
    """Of energy [T, 12]: which frames are silent, bool [T], and the strongest class, int64 [T].

    Classes that differ by less than the noise of rounding are equal, and the first one wins:
    the same moment must give the same class in every window.
    """
    strongest = energy.amax(dim=-1, keepdim=True)  # [T, 1]
    classes = (energy >= strongest * (1 - _EQUAL_ENERGY)).int().argmax(dim=-1)
    return strongest[:, 0] < _SILENT_ENERGY, classes


def _first_frame_from(seconds: float, frame_rate_hz: float) -> int:
    """The first frame centred at or after `seconds`, forgiving the last bits of a float."""
    return math.ceil(seconds * frame_rate_hz - 0.5 - 1e-6)


def _energy(notes: Sequence[Note], centres: Tensor, half_window_seconds: float) -> Tensor:
    """Weighted overlap of notes with the windows at `centres` [T] seconds: float64 [T, 12]."""
    energy = torch.zeros(len(centres), NUM_CHROMA, dtype=torch.float64)
    first = float(centres[0]) - half_window_seconds if len(centres) else 0.0
    last = float(centres[-1]) + half_window_seconds if len(centres) else 0.0
    near = [note for note in notes if note.end_seconds > first and note.start_seconds < last]
    if not near:
        return energy
    edges = torch.tensor([(n.start_seconds, n.end_seconds) for n in near], dtype=torch.float64)
    area = _window_area(edges[:, :, None] - centres, half_window_seconds)  # [n, 2, T]
    weights = torch.tensor([_weight(note) for note in near], dtype=torch.float64)
    classes = torch.tensor([n.pitch_class for n in near])
    return energy.index_add_(1, classes, ((area[:, 1] - area[:, 0]) * weights[:, None]).T)


def _weight(note: Note) -> float:
    """Power of a note as the filter bank hears it: a bell over octaves, 880 Hz +- 2 octaves."""
    octaves = (note.pitch - _BANK_CENTRE_PITCH) / 12 / _BANK_HALF_WIDTH_OCTAVES
    return note.velocity**2 * math.exp(-0.5 * octaves**2)


def _window_area(seconds: Tensor, half_window_seconds: float) -> Tensor:
    """Integral of the squared Hann window, cos(x)^4 with x in +-pi/2, up to `seconds`."""
    x = (seconds / half_window_seconds).clamp(-1, 1) * (math.pi / 2)
    return 3 * x / 8 + torch.sin(2 * x) / 4 + torch.sin(4 * x) / 32


def _last_ended(notes: Sequence[Note], moments: Sequence[float]) -> Tensor:
    """The class of the note that ended last before each moment, 0 before the first: int64 [n]."""
    ended = sorted(notes, key=lambda note: (note.end_seconds, note.pitch))
    ends = [note.end_seconds for note in ended]
    counts = [bisect_right(ends, moment) for moment in moments]
    classes = [ended[count - 1].pitch_class if count else 0 for count in counts]
    return torch.tensor(classes, dtype=torch.int64)


def _checked(samples: npt.NDArray[np.float32], rate_hz: int) -> npt.NDArray[np.float32]:
    if samples.ndim != 1 or len(samples) == 0:
        raise ParameterError(
            f"samples have the shape {samples.shape}: expected mono [N] with N of 1 or more"
        )
    if rate_hz < 1:
        raise ParameterError(f"rate_hz is {rate_hz}: expected 1 or more")
    if not np.isfinite(samples).all():
        raise ParameterError("samples hold NaN or infinity: expected finite audio")
    return samples.astype(np.float32, copy=False)
