"""Batches for the language model: windows of encoded clips, a caption each, conditions dropped.

What a step sees is a pure function of (seed, step, process), so a resumed run goes on with the same
data and nothing about it is saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.text_attributes import AttributeNames
from musicgen_rt.train.lm_attributes import attribute_states, drop_attributes, dropped
from musicgen_rt.train.lm_conditions import FrameBatch
from musicgen_rt.train.lm_config import BatchConfig, DropConfig
from musicgen_rt.train.lm_joins import Piece, joined_pieces, joined_truth, read_pieces
from musicgen_rt.train.lm_records import (
    NO_TEMPO,
    PITCH_UNKNOWN,
    ROLE_UNKNOWN,
    ClipLibrary,
    FrameTruth,
    StatedCaption,
)
from musicgen_rt.train.text_encoder import AttributeTargets, attribute_targets, tokenise

# Independent draws for one step.
_WINDOWS, _TEXTS = 0, 1


@dataclass(frozen=True)
class TextBatch:
    """Tokens [B, S] with a bool mask [B, S], and the facts of their clips (None: not asked for)."""

    ids: Tensor
    mask: Tensor
    targets: AttributeTargets | None

    def to(self, device: torch.device) -> TextBatch:
        """The same on a device."""
        targets = None if self.targets is None else self.targets.to(device)
        return TextBatch(self.ids.to(device), self.mask.to(device), targets)


@dataclass(frozen=True)
class WindowBatch:
    """Codes [B, K, T] int64, the conditions of their frames, texts, and which rows have one [B]."""

    codes: Tensor
    frames: FrameBatch
    text: TextBatch
    has_text: Tensor

    def to(self, device: torch.device) -> WindowBatch:
        """The same on a device."""
        return WindowBatch(*(part.to(device) for part in vars(self).values()))


@dataclass(frozen=True)
class TextReading:
    """How captions become tokens, and facts targets (`names` None: no targets)."""

    tokenizer: Any
    max_tokens: int
    names: AttributeNames | None


class WindowSampler:
    """Draws batches from a library. One thread."""

    def __init__(
        self,
        library: ClipLibrary,
        batch: BatchConfig,
        drop: DropConfig,
        attributes: Sequence[str],
        reading: TextReading,
        seed: int,
    ) -> None:
        """Raises ParameterError if no clip is as long as a window."""
        self._library, self._batch, self._drop, self._reading = library, batch, drop, reading
        self._attributes = tuple(attributes)
        self._seed = seed
        frames = np.array([clip.frames for clip in library.clips], dtype=np.float64)
        # Long clips hold more windows.
        shares = np.clip(frames - batch.window_frames + 1, 0, None)
        if not shares.any():
            raise ParameterError(
                f"batch.window_frames is {batch.window_frames}; the longest clip of "
                f"{library.folder} has {int(frames.max())} frames: shorten the window"
            )
        self._shares = shares / shares.sum()

    def windows(self, step: int, process: int = 0) -> WindowBatch:
        """The windows of a step in a process."""
        rng = np.random.default_rng((self._seed, _WINDOWS, step, process))
        size, drop = self._batch.window_frames, self._drop
        indices = rng.choice(len(self._shares), size=self._batch.rows, p=self._shares)
        pieces = [self._pieces(rng, int(index)) for index in indices]
        has_text = np.zeros(len(indices), np.bool_)
        codes, truths, states = [], [], []
        for row, parts in enumerate(pieces):
            is_joined = len(parts) > 1
            has_everything = rng.random() >= drop.everything or is_joined
            # No caption is true of all of a joined window; a clip without one has the null text.
            is_stated = not is_joined and bool(self._library.clips[parts[0].index].captions)
            has_text[row] = has_everything and rng.random() >= drop.text and is_stated
            row_codes, read = read_pieces(self._library, parts)
            codes.append(row_codes)
            if not has_everything:
                truths.append(FrameTruth.unknown(size))
                states.append(np.full((len(self._attributes), size), ROLE_UNKNOWN, np.uint8))
                continue
            truths.append(drop_conditions(rng, joined_truth([t for _, t in read]), drop))
            told = np.concatenate([self._states(index, truth) for index, truth in read], axis=-1)
            # Behind a join nothing else tells what to play.
            shares = (0.0, 0.0) if is_joined else (drop.attribute, drop.frames)
            states.append(drop_attributes(rng, told, self._attributes, *shares))
        return WindowBatch(
            torch.from_numpy(np.stack(codes).astype(np.int64)),
            frame_batch(truths, states),
            self._texts(rng, indices),
            torch.from_numpy(has_text),
        )

    def texts(self, step: int, rows: int, process: int = 0) -> TextBatch:
        """Captions alone, for the text encoder's own training."""
        rng = np.random.default_rng((self._seed, _TEXTS, step, process))
        return self._texts(rng, rng.integers(len(self._library.clips), size=rows))

    def _pieces(self, rng: np.random.Generator, index: int) -> list[Piece]:
        """The window of a row: a piece of its clip, or several of several clips."""
        whole = Piece(index, self._start(rng, index), self._batch.window_frames)
        joins = self._batch.joins()
        if not joins.share or rng.random() >= joins.share:
            return [whole]
        return joined_pieces(rng, self._library, whole, joins)

    def _states(self, index: int, truth: FrameTruth) -> npt.NDArray[np.uint8]:
        return attribute_states(truth, self._library.clips[index].facts, self._attributes)

    def _start(self, rng: np.random.Generator, index: int) -> int:
        """Where a window begins: at the clip's start, on a bar, or anywhere."""
        last = self._library.clips[index].frames - self._batch.window_frames
        draw = rng.random()
        if draw < self._batch.clip_start_share:
            return 0
        if draw < self._batch.clip_start_share + self._batch.bar_start_share:
            bars = self._library.bar_starts(index)
            bars = bars[bars <= last]
            if len(bars):
                return int(rng.choice(bars))
        return int(rng.integers(last + 1))

    def _texts(self, rng: np.random.Generator, indices: Sequence[int] | Any) -> TextBatch:
        clips = [self._library.clips[int(index)] for index in indices]
        captions = [_caption(rng, clip.captions) for clip in clips]
        reading = self._reading
        texts = [caption.text for caption in captions]
        ids, mask = tokenise(reading.tokenizer, texts, reading.max_tokens)
        targets = None
        if reading.names is not None:
            targets = attribute_targets(captions, [clip.facts for clip in clips], reading.names)
        return TextBatch(ids, mask, targets)


def _caption(rng: np.random.Generator, captions: Sequence[StatedCaption]) -> StatedCaption:
    return captions[int(rng.integers(len(captions)))] if captions else StatedCaption("", {})


def drop_conditions(rng: np.random.Generator, truth: FrameTruth, drop: DropConfig) -> FrameTruth:
    """Makes clock and melody unknown: each on its own, over the window or a part of it."""
    frames = len(truth.bpm)
    bpm, pitch_class = truth.bpm.copy(), truth.pitch_class.copy()
    bpm[dropped(rng, frames, drop.clock, drop.frames)] = NO_TEMPO
    pitch_class[dropped(rng, frames, drop.chroma, drop.frames)] = PITCH_UNKNOWN
    return replace(truth, bpm=bpm, pitch_class=pitch_class)


def frame_batch(
    truths: Sequence[FrameTruth], states: Sequence[npt.NDArray[np.uint8]]
) -> FrameBatch:
    """Truths of B windows of T frames as conditions, with their attributes' states [A, T]."""

    def stacked(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(truth, name) for truth in truths]))

    bpm = stacked("bpm")
    return FrameBatch(
        bar_phase=stacked("bar_phase"),
        beat_phase=stacked("beat_phase"),
        beats_per_bar=stacked("beats_per_bar").long(),
        bpm=bpm,
        has_clock=bpm > NO_TEMPO,
        pitch_class=stacked("pitch_class").long(),
        attributes=torch.from_numpy(np.stack(states)).long(),
    )
