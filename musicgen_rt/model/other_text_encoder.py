"""Text encoders other than T5, of any class that transformers knows. Slow to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForTextEncoding

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model.json_section import JsonSection

_MAX_LAYERS = 512


class OtherTextEncoder:
    """Tokens to hidden states by a transformers model in fp32. Frozen."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.vocab_size: int = model.get_input_embeddings().weight.shape[0]

    @classmethod
    def load(
        cls, text_encoder_json: Mapping[str, Any], tensor: Callable[[str], Tensor]
    ) -> OtherTextEncoder:
        """Build it and fill it with the tensors by name. Raises CheckpointError."""
        model = build_on_meta(text_encoder_json)
        model.load_state_dict({name: tensor(name) for name in model.state_dict()}, assign=True)
        model.tie_weights()  # one copy, not two, of what is stored once
        for name, buffer in model.named_buffers():
            if buffer.is_meta:
                raise CheckpointError(
                    f"config.json: this text encoder computes {name} at start, which is not "
                    "supported; expected one of the T5 family"
                )
        model.requires_grad_(False)
        return cls(model.eval())

    @torch.no_grad()
    def __call__(self, ids: Tensor) -> Tensor:
        """Tokens [S] int64 -> the last hidden states [S, D]."""
        hidden: Tensor = self._model(input_ids=ids[None]).last_hidden_state[0]
        return hidden


def build_on_meta(text_encoder_json: Mapping[str, Any]) -> Any:
    """The model of a config without its weights. Raises CheckpointError if there is none."""
    fields = JsonSection.of("config.json: text_encoder", text_encoder_json)
    for key in ("num_layers", "num_hidden_layers"):
        fields.integer(key, 1, 1, _MAX_LAYERS)
    values = {key: value for key, value in text_encoder_json.items() if key != "auto_map"}
    model_type = values.pop("model_type", "t5")
    try:
        config = AutoConfig.for_model(model_type, **values)
        with torch.device("meta"):
            return AutoModelForTextEncoding.from_config(config)
    # The config is not ours and transformers raises whatever its classes raise.
    except Exception as error:
        raise CheckpointError(
            f"config.json: text_encoder of model_type {model_type!r} cannot be built "
            f"({error}); expected the config of a text encoder that transformers knows, such as t5"
        ) from error
