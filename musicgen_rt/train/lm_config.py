"""What a run of the language model's trainer is: sizes, batches, dropout and schedule."""

from __future__ import annotations

from dataclasses import dataclass, field

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.config import ClockConfig, FrameConditioningConfig
from musicgen_rt.train.config import require_range
from musicgen_rt.train.lm_attributes import require_attributes
from musicgen_rt.train.lm_joins import JoinConfig

FULL, LORA, ADAPTER = "full", "lora", "adapter"
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


@dataclass(frozen=True)
class TextShape:
    """The size of a new model's T5 encoder, over bytes."""

    d_model: int = 128
    layers: int = 3
    heads: int = 4
    head_dim: int = 32
    ffn_dim: int = 384
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require_range("shape.text.d_model", self.d_model, 8, 4096)
        require_range("shape.text.layers", self.layers, 1, 64)
        require_range("shape.text.heads", self.heads, 1, 256)
        require_range("shape.text.head_dim", self.head_dim, 1, 1024)
        require_range("shape.text.ffn_dim", self.ffn_dim, 1, 65_536)
        require_range("shape.text.dropout", self.dropout, 0.0, 0.9)


@dataclass(frozen=True)
class LMShape:
    """The size of a new model. Its codebooks and their size are the codec's."""

    d_model: int = 320
    layers: int = 6
    heads: int = 5
    ffn_dim: int = 1280
    text: TextShape = field(default_factory=TextShape)

    def __post_init__(self) -> None:
        require_range("shape.d_model", self.d_model, 4, 8192)
        require_range("shape.layers", self.layers, 1, 256)
        require_range("shape.ffn_dim", self.ffn_dim, 1, 65_536)
        if self.heads < 1 or self.d_model % (2 * self.heads):
            raise ParameterError(
                f"shape.heads is {self.heads}: expected a divisor of half of d_model {self.d_model}"
            )


@dataclass(frozen=True)
class ConditionShape:
    """The frame conditioners. `attributes` are roles and styles of the encoded data."""

    clock: bool = True
    bar_harmonics: int = 32
    beat_harmonics: int = 8
    max_beats_per_bar: int = 8
    chroma: bool = True
    attributes: tuple[str, ...] = ("drums", "bass", "lead")

    def __post_init__(self) -> None:
        require_range("conditions.bar_harmonics", self.bar_harmonics, 1, 256)
        require_range("conditions.beat_harmonics", self.beat_harmonics, 0, 256)
        require_range("conditions.max_beats_per_bar", self.max_beats_per_bar, 1, 32)
        require_attributes(self.attributes)

    def to_model(self) -> FrameConditioningConfig | None:
        """As the checkpoint's config.json has it; None without any conditioner."""
        if not (self.clock or self.chroma or self.attributes):
            return None
        clock = ClockConfig(self.bar_harmonics, self.beat_harmonics, self.max_beats_per_bar)
        return FrameConditioningConfig(
            clock if self.clock else None, self.chroma, tuple(self.attributes)
        )


@dataclass(frozen=True)
class DropConfig:
    """Shares of training windows that lose a condition, each drawn on its own.

    `everything` is the share that loses all of them at once: guidance's unconditional row.
    `frames` is the share in which conditions come or go in the midst of the window.
    """

    text: float = 0.2
    clock: float = 0.15
    chroma: float = 0.3
    attribute: float = 0.3
    everything: float = 0.1
    frames: float = 0.15

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            require_range(f"drop.{name}", share, 0.0, 1.0)


@dataclass(frozen=True)
class BatchConfig:
    """Windows of a step, for each process. The rest of the shares begins at random frames.

    A window in the midst of a clip is what the engine has after a roll: position 0 at a bar, the
    special triangle before it, though older music exists.

    `join_share` of the windows are joined at bar lines from pieces of several clips, of at least
    `shortest_piece_frames` and of up to `longest_piece_frames` and the rest of the bar.
    """

    rows: int = 8
    window_frames: int = 500
    bar_start_share: float = 0.5
    clip_start_share: float = 0.1
    max_text_tokens: int = 160
    join_share: float = 0.0
    shortest_piece_frames: int = 50
    longest_piece_frames: int = 200

    def __post_init__(self) -> None:
        require_range("batch.rows", self.rows, 1, 65_536)
        require_range("batch.window_frames", self.window_frames, 8, 100_000)
        require_range("batch.bar_start_share", self.bar_start_share, 0.0, 1.0)
        require_range("batch.clip_start_share", self.clip_start_share, 0.0, 1.0)
        require_range("batch.max_text_tokens", self.max_text_tokens, 8, 512)
        require_range("batch.join_share", self.join_share, 0.0, 1.0)
        require_range("batch.shortest_piece_frames", self.shortest_piece_frames, 1, 100_000)
        shortest = self.shortest_piece_frames
        require_range("batch.longest_piece_frames", self.longest_piece_frames, shortest, 100_000)

    def joins(self) -> JoinConfig:
        """How windows are joined."""
        return JoinConfig(self.join_share, self.shortest_piece_frames, self.longest_piece_frames)


@dataclass(frozen=True)
class LMOptimConfig:
    """The optimiser and its schedule: linear warm-up, then a cosine down to `final_part`.

    `optimizer` is adamw, or muon for the matrices inside layers with AdamW for the rest.
    """

    optimizer: str = "muon"
    learning_rate: float = 2e-3
    muon_learning_rate: float = 4e-3
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    warmup_steps: int = 100
    final_part: float = 0.02
    average_decay: float = 0.998
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "muon"):
            raise ParameterError(f"optim.optimizer is {self.optimizer!r}; allowed: adamw, muon")
        require_range("optim.learning_rate", self.learning_rate, 1e-8, 1.0)
        require_range("optim.muon_learning_rate", self.muon_learning_rate, 1e-8, 1.0)
        require_range("optim.weight_decay", self.weight_decay, 0.0, 100.0)
        require_range("optim.beta1", self.beta1, 0.0, 0.9999)
        require_range("optim.beta2", self.beta2, 0.0, 0.999999)
        require_range("optim.warmup_steps", self.warmup_steps, 0, 1_000_000)
        require_range("optim.final_part", self.final_part, 0.0, 1.0)
        require_range("optim.average_decay", self.average_decay, 0.0, 0.99999)
        require_range("optim.clip_norm", self.clip_norm, 1e-6, 1e6)


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank updates of the decoder's matrices (Hu et al. 2021). Rank 0 is none."""

    rank: int = 0
    scale: float = 1.0
    targets: tuple[str, ...] = LORA_TARGETS

    def __post_init__(self) -> None:
        require_range("lora.rank", self.rank, 0, 1024)
        for name in self.targets:
            if name not in LORA_TARGETS:
                raise ParameterError(
                    f"lora.targets has {name!r}; allowed: {', '.join(LORA_TARGETS)}"
                )
        if self.rank and not self.targets:
            raise ParameterError("lora.targets is empty: expected one matrix or more")


@dataclass(frozen=True)
class LMTrainConfig:
    """A whole run.

    Without `start` a new model is made for the codec in `codec`; else `start` is a checkpoint to
    fine-tune, which keeps its own conditioners where `conditions` are left out. `tune` is full,
    lora (frozen base, low-rank updates) or adapter (frozen base, frame conditioners, and low-rank
    updates if lora.rank is not 0). `text_weight` is that of the text encoder's attribute heads; 0
    leaves them out. `text_warmup_steps` train the text encoder alone; with `freezes_text` it and
    its heads then stay as they are, since the few texts of a small batch of windows teach it less
    than they disturb it. A checkpoint's own text encoder stays as it is unless `tunes_text`, and
    always with lora and adapter.
    """

    run_folder: str
    data: str
    steps: int
    validation: str = ""
    codec: str = ""
    start: str = ""
    tune: str = FULL
    seed: int = 1
    device: str = "cpu"
    threads: int = 2
    bfloat16: bool = False
    compile: bool = False
    max_positions: int = 0
    tunes_text: bool = False
    text_weight: float = 0.3
    text_warmup_steps: int = 0
    text_warmup_rows: int = 64
    freezes_text: bool = False
    save_seconds: float = 120.0
    report_steps: int = 10
    validate_steps: int = 200
    validate_batches: int = 8
    shape: LMShape = field(default_factory=LMShape)
    conditions: ConditionShape = field(default_factory=ConditionShape)
    drop: DropConfig = field(default_factory=DropConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    optim: LMOptimConfig = field(default_factory=LMOptimConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)

    def __post_init__(self) -> None:
        require_range("steps", self.steps, 1, 100_000_000)
        require_range("seed", self.seed, 0, 1_000_000)
        require_range("threads", self.threads, 1, 256)
        require_range("max_positions", self.max_positions, 0, 1_000_000)
        require_range("save_seconds", self.save_seconds, 0.0, 1e9)
        require_range("report_steps", self.report_steps, 1, 1_000_000)
        require_range("validate_steps", self.validate_steps, 1, 100_000_000)
        require_range("validate_batches", self.validate_batches, 1, 1_000_000)
        require_range("text_weight", self.text_weight, 0.0, 100.0)
        require_range("text_warmup_steps", self.text_warmup_steps, 0, 1_000_000)
        require_range("text_warmup_rows", self.text_warmup_rows, 1, 65_536)
        if bool(self.codec) == bool(self.start):
            raise ParameterError(
                f"codec is {self.codec!r} and start is {self.start!r}: expected one of them, the "
                "codec of a new model or the checkpoint to begin with"
            )
        if self.freezes_text and not self.start and not self.text_warmup_steps:
            raise ParameterError(
                "freezes_text is true and text_warmup_steps is 0: a new text encoder would stay "
                "random; expected some hundred steps"
            )
        self._check_tune()

    def _check_tune(self) -> None:
        if self.tune not in (FULL, LORA, ADAPTER):
            raise ParameterError(f"tune is {self.tune!r}; allowed: {FULL}, {LORA}, {ADAPTER}")
        if self.tune != FULL and not self.start:
            raise ParameterError(f"tune is {self.tune!r}: a new model has no base; use {FULL}")
        if self.tune == LORA and not self.lora.rank:
            raise ParameterError("tune is 'lora' and lora.rank is 0: expected 1 or more")
        if self.tune == ADAPTER and self.conditions.to_model() is None:
            raise ParameterError("tune is 'adapter' and [conditions] names none: name one")
