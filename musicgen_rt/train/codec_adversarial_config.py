"""What a run of the decoder's adversarial tuning is: weights, sizes and schedule."""

from __future__ import annotations

from dataclasses import dataclass, field

from musicgen_rt.train.codec_discriminator import DiscriminatorConfig
from musicgen_rt.train.codec_loss import CodecLossConfig
from musicgen_rt.train.codec_optim import CodecOptimConfig
from musicgen_rt.train.codec_pool import PoolConfig
from musicgen_rt.train.config import require_range


@dataclass(frozen=True)
class AdversarialConfig:
    """Mean gradients at the decoded audio, relative to that of the waveform and mel terms.

    They rise from 0 at `start` to their whole at `full`, parts of the run; until then the
    discriminator learns alone. Both 0 tunes the decoder without an opponent. They are lowered
    while the probe's SI-SDR is more than `si_sdr_allowance_db` below what it was at the start.
    """

    hinge: float = 0.2
    features: float = 0.3
    start: float = 0.05
    full: float = 0.15
    si_sdr_allowance_db: float = 0.25

    def __post_init__(self) -> None:
        require_range("adversarial.hinge", self.hinge, 0.0, 100.0)
        require_range("adversarial.features", self.features, 0.0, 100.0)
        require_range("adversarial.start", self.start, 0.0, 1.0)
        require_range("adversarial.full", self.full, self.start, 1.0)
        require_range("adversarial.si_sdr_allowance_db", self.si_sdr_allowance_db, 0.0, 100.0)

    @property
    def is_on(self) -> bool:
        """Whether there is an opponent."""
        return self.hinge > 0 or self.features > 0

    def weights(self, progress: float, strength: float) -> dict[str, float]:
        """The weight of each term at a part of the run, times `strength`."""
        ramp = min(max((progress - self.start) / max(self.full - self.start, 1e-9), 0.0), 1.0)
        return {"hinge": strength * ramp * self.hinge, "features": strength * ramp * self.features}


@dataclass(frozen=True)
class DecoderOptimConfig(CodecOptimConfig):
    """Small steps with little momentum: the opponent moves."""

    learning_rate: float = 3e-4
    beta1: float = 0.5
    beta2: float = 0.9
    warmup_steps: int = 50
    final_part: float = 0.05
    average_decay: float = 0.995


@dataclass(frozen=True)
class DecoderPoolConfig(PoolConfig):
    """Shorter segments than a codec's training: the decoder sees real frames on both sides."""

    clips: int = 48
    segment_seconds: float = 0.5
    steps_per_clip: int = 4


@dataclass(frozen=True)
class DecoderTrainConfig:
    """A whole run; `start` is the run folder of a codec. Its `seed` should not be that run's.

    Of `loss` the weights of the terms over audio count, at their whole from the first step: those
    of the codec's own training keep it what it is. Every `probe_steps` the `probe_clips`, which are
    not learnt from, are decoded.
    """

    run_folder: str
    start: str
    steps: int
    seed: int = 2
    batch_rows: int = 8
    bfloat16: bool = True
    device: str = "cpu"
    threads: int = 2
    save_seconds: float = 120.0
    report_steps: int = 50
    probe_steps: int = 50
    probe_clips: int = 8
    loss: CodecLossConfig = field(default_factory=CodecLossConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    optim: DecoderOptimConfig = field(default_factory=DecoderOptimConfig)
    pool: DecoderPoolConfig = field(default_factory=DecoderPoolConfig)

    def __post_init__(self) -> None:
        require_range("steps", self.steps, 1, 100_000_000)
        require_range("seed", self.seed, 1, 999)
        require_range("batch_rows", self.batch_rows, 1, 4096)
        require_range("threads", self.threads, 1, 256)
        require_range("save_seconds", self.save_seconds, 0.0, 1e9)
        require_range("report_steps", self.report_steps, 1, 1_000_000)
        require_range("probe_steps", self.probe_steps, 1, 1_000_000)
        require_range("probe_clips", self.probe_clips, 0, 1000)
