"""The figures of a benchmark as values; each knows its unit by name."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Clock = Callable[[], float]
"""Seconds from any beginning; `time.perf_counter` outside of tests."""


@dataclass(frozen=True)
class Figure:
    """Several measurements of one thing."""

    median: float
    lowest: float
    highest: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Of one value or more."""
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True)
class RollFigures:
    """What the listener's buffer must bridge when the window rolls: gaps between chunks.

    `first_longest_gap_ms` is that of an engine's first roll, which on a GPU also captures graphs.
    """

    longest_gap_ms: float
    median_gap_ms: float
    first_longest_gap_ms: float
    chunk_audio_ms: float


@dataclass(frozen=True)
class MemoryFigures:
    """Megabytes of 10^6 bytes: of the process while this format ran, and of the GPU if any.

    `rss_before_mb` is what the process held before it was loaded. `is_lifetime` says that the
    system only knows the peak since the start of the process; None that it knows nothing.
    """

    peak_rss_mb: float | None
    rss_before_mb: float | None
    is_lifetime: bool
    peak_cuda_mb: float | None


@dataclass(frozen=True)
class ReferenceFigures:
    """The same steps, and the decoding of what they made, by this engine and by transformers."""

    dtype: str
    steps: int
    own_steps_per_second: Figure
    reference_steps_per_second: Figure
    ratio: float


@dataclass(frozen=True)
class FormatFigures:
    """One weight format.

    Steps are frames of the language model with guidance, sampling included, at the context of the
    options. `prefill_ms` reads that context anew. `first_audio_ms` is from a new prompt to the
    first samples of a new stream. `kl_nats` is the divergence of the next-token distributions from
    those of fp32; None if it was not asked for.
    """

    weights: str
    load_seconds: float
    lm_steps_per_second: Figure
    real_time_factor: Figure
    prefill_ms: Figure
    first_audio_ms: Figure
    roll: RollFigures
    memory: MemoryFigures
    kl_nats: float | None
    reference: ReferenceFigures | None = None


@dataclass(frozen=True)
class CodecFigures:
    """Milliseconds to decode a second of audio, in a stream's chunks and all at once.

    The ratios are those of the stream to this batch decode and to transformers'.
    """

    chunk_frames: int
    streaming_ms_per_second: Figure
    batch_ms_per_second: Figure
    ratio: float
    reference_batch_ms_per_second: Figure | None = None
    reference_ratio: float | None = None
