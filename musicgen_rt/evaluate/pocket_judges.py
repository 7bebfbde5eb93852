"""The learned judges together: made once from the generator's clips, kept as features on disk.

They learn from takes of the generator as it sounds, and from the same takes through the codec that
is judged beside the model: a judge that knows only bright, clean music would blame the language
model for what the codec does.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from musicgen_rt.evaluate.pocket_bars import METERS, BarJudge, beats_of, training_folds
from musicgen_rt.evaluate.pocket_content import ContentJudge, rhythm, timbre
from musicgen_rt.evaluate.pocket_hearing import listen
from musicgen_rt.evaluate.pocket_phase import (
    PLACES_PER_BEAT,
    PhaseJudge,
    fine_lag_seconds,
    place_features,
)
from musicgen_rt.evaluate.pocket_pieces import JUDGE_FIRST_SEED, Take, held_out_takes, is_steady
from musicgen_rt.evaluate.pocket_tempo import TempoJudge, training_rows
from musicgen_rt.model.codec_frames import FrameDecoder
from musicgen_rt.model.quantised_cache import cache_folder
from musicgen_rt.train.lm_records import ROLES
from musicgen_rt.train.music.plan import SongPlan
from musicgen_rt.train.music.styles import STYLES as _STYLE_TABLE

Lessons = dict[str, NDArray[np.float32]]
Through = Callable[[Take], Take]
Watch = Callable[[str, int, int], None]

STYLES = tuple(_STYLE_TABLE)
LESSON_SECONDS = 12.0
# Part of the key of kept lessons: a change of what the judges hear must not read old ones.
_VERSION = 1
# Waltzes are rare, and half of what the bar judge must know.
_WALTZ_PART = 0.25
_WALTZ_SEEDS_LATER = 100_000_000


@dataclass(frozen=True)
class Judges:
    """Judges of tempo, beats, bars, style and parts."""

    tempo: TempoJudge
    phase: PhaseJudge
    bars: BarJudge
    content: ContentJudge

    @classmethod
    def taught(cls, lessons: Lessons, seed: int = 0) -> Judges:
        """Judges that have learned; deterministic by seed and lessons."""
        judges = cls(TempoJudge(seed), PhaseJudge(seed), BarJudge(seed), ContentJudge(seed))
        with warnings.catch_warnings():
            # Small networks on few lessons stop at their last round; the measures say how good.
            warnings.simplefilter("ignore", ConvergenceWarning)
            judges._learn(lessons)
        return judges

    def _learn(self, lessons: Lessons) -> None:
        self.tempo.fit(lessons["tempo"].astype(np.float64), lessons["tempo_right"] > 0)
        self.phase.fit(
            lessons["place"].astype(np.float64),
            lessons["place_right"] > 0,
            lessons["true_lag"].astype(np.float64),
        )
        self.bars.fit(
            {
                meter: (lessons[f"fold{meter}"].astype(np.float64), lessons[f"bar{meter}"] > 0)
                for meter in METERS
            }
        )
        self.content.fit(
            lessons["timbre"].astype(np.float64),
            lessons["rhythm"].astype(np.float64),
            np.array(STYLES)[lessons["style"].astype(np.int64)],
            lessons["roles"] > 0,
        )


def through_codec(codec: FrameDecoder) -> Through:
    """What makes a take sound as the codec renders it."""

    @torch.inference_mode()
    def render(take: Take) -> Take:
        samples = torch.from_numpy(np.ascontiguousarray(take.samples))[None]
        codes = codec.encode(samples.expand(codec.channels, -1), 0)
        decoded = codec.decode(codes).mean(0).cpu().numpy().astype(np.float32)
        return Take(take.request, decoded[: len(take.samples)], take.rate_hz)

    return render


def kept_lessons(codec: FrameDecoder, takes: int, watch: Watch) -> Lessons:
    """The lessons of a codec, from the cache folder or made and put there."""
    name = hashlib.sha256(f"{_VERSION} {takes} {_identity(codec)}".encode()).hexdigest()[:32]
    path = cache_folder() / "evaluate" / f"lessons-{name}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError), np.load(path) as file:
        return {name: file[name] for name in file.files}
    lessons = make_lessons(takes, through_codec(codec), watch)
    # A cache that cannot be written costs only the time to make the lessons again.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.stem}.{os.getpid()}.npz")
        np.savez_compressed(partial, allow_pickle=False, **lessons)
        partial.replace(path)
    return lessons


def make_lessons(takes: int, through: Through | None, watch: Watch) -> Lessons:
    """Hears `takes` takes of the generator, and each again through the codec if there is one."""
    book = _LessonBook()
    waltzes = round(_WALTZ_PART * takes)
    for index, take in enumerate(_lesson_takes(takes, waltzes)):
        watch("teaching the judges", index, takes + waltzes)
        book.put("true_lag", np.array([fine_lag_seconds(take, 0.0)]))
        for version in (take,) if through is None else (take, through(take)):
            book.add(version, is_extra=index >= takes)
    watch("teaching the judges", takes + waltzes, takes + waltzes)
    return book.lessons()


def _lesson_takes(takes: int, waltzes: int) -> Iterator[Take]:
    yield from held_out_takes(JUDGE_FIRST_SEED, takes, LESSON_SECONDS)
    first = JUDGE_FIRST_SEED + _WALTZ_SEEDS_LATER
    yield from held_out_takes(first, waltzes, LESSON_SECONDS, is_wanted=_is_steady_waltz)


def _is_steady_waltz(plan: SongPlan) -> bool:
    return plan.beats_per_bar == METERS[0] and is_steady(plan)


class _LessonBook:
    """Collects rows of features. One thread."""

    def __init__(self) -> None:
        self._rows: dict[str, list[NDArray[np.float32]]] = {}
        self._rng = np.random.default_rng(JUDGE_FIRST_SEED)

    def add(self, take: Take, *, is_extra: bool) -> None:
        """Hears a take. An extra one teaches about beats and bars only."""
        hearing, request = listen(take), take.request
        beats = beats_of(hearing, request.grid)
        meter = request.grid.beats_per_bar
        for folded_meter, features, is_bar in training_folds(beats, meter):
            self.put(f"fold{folded_meter}", features[None])
            self.put(f"bar{folded_meter}", np.array([is_bar]))
        places = place_features(hearing, request.grid)
        if places is not None:
            self.put("place", places)
            self.put("place_right", np.arange(PLACES_PER_BEAT) == 0)
        if is_extra:
            return
        features, is_right = training_rows(hearing, request.bpm, self._rng)
        self.put("tempo", features)
        self.put("tempo_right", is_right)
        self.put("timbre", timbre(hearing)[None])
        self.put("rhythm", rhythm(beats, meter)[None])
        self.put("style", np.array([STYLES.index(request.style)]))
        self.put("roles", np.array([[request.roles[role] for role in ROLES]]))

    def lessons(self) -> Lessons:
        """All rows by name."""
        return {name: np.concatenate(rows) for name, rows in self._rows.items()}

    def put(self, name: str, rows: NDArray[np.generic]) -> None:
        """Adds rows of one name."""
        self._rows.setdefault(name, []).append(rows.astype(np.float32))


def _identity(codec: FrameDecoder) -> str:
    """Tells codecs apart by what they decode to."""
    frames = 16
    size = codec.codec.config.codebook_size
    codes = torch.arange(codec.num_codebooks * frames).remainder(size)
    samples = codec.decode(codes.view(codec.num_codebooks, frames)).cpu().numpy()
    return hashlib.sha256(np.round(samples, 4).tobytes()).hexdigest()
