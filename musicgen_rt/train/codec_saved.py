"""A codec as a run left it, whichever of the trainers made the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from musicgen_rt.errors import CheckpointError
from musicgen_rt.train import checkpointing
from musicgen_rt.train.checkpointing import RunState
from musicgen_rt.train.codec_model import CodecModel, CodecShape
from musicgen_rt.train.config import build_config


@dataclass(frozen=True)
class SavedCodec:
    """The last saved state of a run that is to take `steps` steps."""

    shape: CodecShape
    steps: int
    state: RunState

    def model(self, *, live: bool = False) -> CodecModel:
        """The codec with the averaged weights, or with the `live` ones of the last step."""
        model = CodecModel(self.shape)
        model.load_state_dict(self.state.group("model" if live else "average"))
        return model.eval()


def is_codec_run(folder: Path) -> bool:
    """Whether a run folder is a codec's: only those draw their audio from a pool."""
    return "pool" in checkpointing.read_run_config(folder)


def load_codec(folder: Path) -> SavedCodec:
    """Reads a run folder. Raises CheckpointError if it is damaged or not a codec's."""
    table = checkpointing.read_run_config(folder)
    if not is_codec_run(folder):
        raise CheckpointError(f"{folder} is not the run of a codec: name one of `train codec`")
    shape = build_config(table["shape"], CodecShape, "shape.")
    return SavedCodec(shape, table["steps"], checkpointing.load_state(folder))
