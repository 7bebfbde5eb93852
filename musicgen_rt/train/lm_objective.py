"""The model of a run with its losses: built on a foundation, frozen where the run says so."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.text_attributes import AttributeHeads, load_heads
from musicgen_rt.train.lm_config import ADAPTER, FULL, LMTrainConfig
from musicgen_rt.train.lm_data import TextBatch, WindowBatch
from musicgen_rt.train.lm_foundation import Foundation
from musicgen_rt.train.lm_loss import codebook_losses, shifted, valid_targets
from musicgen_rt.train.lm_model import TrainableLM
from musicgen_rt.train.lm_records import ClipLibrary
from musicgen_rt.train.lora import add_lora
from musicgen_rt.train.text_encoder import attribute_losses, generator_names, taught_attributes

# What is added up to the loss; other terms are figures to look at.
_TEXT_TERMS = ("text_style", "text_key", "text_bpm", "text_roles")


class LMObjective(nn.Module):
    """A batch to its losses. The one module that a distributed run wraps."""

    def __init__(
        self,
        model: TrainableLM,
        heads: AttributeHeads | None,
        text_weight: float,
        dtype: Any,
        *,
        freezes_text: bool = False,
    ) -> None:
        """`dtype` is that of autocast for the decoder; float32 is none.

        With `freezes_text` windows do not move the text encoder and the heads; texts alone do.
        """
        super().__init__()
        self.model, self.heads = model, heads
        self.text_weight, self.dtype = text_weight, dtype
        self.freezes_text = freezes_text

    def forward(self, batch: WindowBatch | TextBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and its figures; a batch of texts alone has the text encoder's."""
        if isinstance(batch, TextBatch):
            _, total, figures = self._read(batch)
            return total, figures
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freezes_text):
            states, total, figures = self._read(batch.text)
        config = self.model.config.lm
        inputs, targets = shifted(batch.codes, config.delays, config.pad_token)
        mask = batch.text.mask & batch.has_text[:, None]
        with torch.autocast(inputs.device.type, self.dtype, self.dtype != torch.float32):
            logits = self.model(inputs, states, mask, batch.frames)
        valid = valid_targets(inputs.shape[2], config.delays, inputs.device)
        entropies = codebook_losses(logits, targets, valid)
        figures["loss"] = entropies.mean().detach()
        for index, entropy in enumerate(entropies.detach()):
            figures[f"loss_{index}"] = entropy
        return entropies.mean() + total, figures

    def _read(self, text: TextBatch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Hidden states [B, S, d_text] and the attribute heads' loss and figures."""
        states = self.model.encode_text(text.ids, text.mask)
        total, figures = states.new_zeros(()), {}
        if self.heads is not None and text.targets is not None:
            terms = attribute_losses(self.heads, states, text.mask, text.targets)
            total = self.text_weight * torch.stack([terms[name] for name in _TEXT_TERMS]).sum()
            figures = {name: term.detach() for name, term in terms.items()}
        return states, total, figures


def build_objective(config: LMTrainConfig, foundation: Foundation) -> LMObjective:
    """The model at its start: random, or a checkpoint's. Parameters that rest are frozen."""
    torch.manual_seed(config.seed)
    model = TrainableLM(foundation.config)
    heads = None
    if config.text_weight:
        heads = AttributeHeads(foundation.config.text_d_model, generator_names())
    if foundation.start is not None:
        _load_start(model, foundation)
        if heads is not None and foundation.has_heads:
            heads = load_heads(foundation.start).requires_grad_(True)
        _freeze(model, config)
    dtype = torch.bfloat16 if config.bfloat16 else torch.float32
    return LMObjective(model, heads, config.text_weight, dtype, freezes_text=config.freezes_text)


@torch.no_grad()
def keep_taught_heads(objective: LMObjective, foundation: Foundation, library: ClipLibrary) -> None:
    """Leaves out heads that the clips cannot teach; a start's own ones are then exported as is.

    A head that nobody taught would stay as it was drawn, and a player would believe what it reads
    into a prompt. Without any tempo there are none; others are made to know nothing, and stay so.
    """
    heads = objective.heads
    if heads is None:
        return
    taught = taught_attributes(library.clips, heads.names)
    if "bpm" not in taught:
        objective.heads = None
    elif not foundation.has_heads:
        roles = torch.tensor([role not in taught for role in heads.names.roles])
        for name, output in heads.outputs.items():
            untaught = roles if name == "roles" else torch.tensor(name not in taught)
            for parameter in output.parameters():
                parameter[untaught.expand(len(parameter)).to(parameter.device)] = 0.0


def _load_start(model: TrainableLM, foundation: Foundation) -> None:
    assert foundation.start is not None
    with Checkpoint.open(foundation.start) as checkpoint:
        model.load_checkpoint_tensors(checkpoint.tensor)
        if model.conditioner is not None and checkpoint.config.frame_conditioning is not None:
            # Attributes that the run adds begin near zero.
            own = set(checkpoint.names())
            with torch.no_grad():
                for name, parameter in model.conditioner.tensors().items():
                    if name in own:
                        parameter.copy_(checkpoint.tensor(name))


def _freeze(model: TrainableLM, config: LMTrainConfig) -> None:
    if config.tune == FULL:
        model.text_encoder.requires_grad_(config.tunes_text)
        return
    model.requires_grad_(False)
    if config.lora.rank:
        add_lora(model.decoder, config.lora)
    if config.tune == ADAPTER and model.conditioner is not None:
        model.conditioner.requires_grad_(True)
