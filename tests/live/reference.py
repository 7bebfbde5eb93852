"""transformers' MusicGen of the same checkpoint: the independent implementation to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    MusicgenForConditionalGeneration,
    MusicgenMelodyForConditionalGeneration,
)
from transformers.modeling_outputs import BaseModelOutput


class Reference:
    """One checkpoint, in float32 on the CPU."""

    def __init__(self, folder: Path, *, is_melody: bool = False) -> None:
        kind: Any = (
            MusicgenMelodyForConditionalGeneration
            if is_melody
            else MusicgenForConditionalGeneration
        )
        self.model = kind.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.is_melody = is_melody
        decoder = self.model.config.decoder
        channels = decoder.audio_channels
        self.special = decoder.pad_token_id
        self.num_codebooks = decoder.num_codebooks
        self.delays = [index // channels for index in range(self.num_codebooks)]

    @torch.no_grad()
    def logits(
        self,
        tokens: Tensor,
        text: str | None,
        *,
        chroma: Tensor | None = None,
        text_length: int | None = None,
    ) -> Tensor:
        """Logits [S, K, V] of delayed input tokens [K, S] under one condition.

        `text` None is the null text. For melody checkpoints `chroma` [235, 12] None is the null
        melody, and the text is padded with zero states to `text_length`.
        """
        states = self._text_states(text)
        if self.is_melody:
            output = self.model(
                encoder_hidden_states=self._prefix(states, chroma, text_length),
                decoder_input_ids=tokens,
            ).logits[:, -tokens.shape[1] :]
        else:
            mask = torch.full(states.shape[:2], 0 if text is None else 1)
            output = self.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                attention_mask=mask,
                decoder_input_ids=tokens,
            ).logits
        return output.transpose(0, 1)

    @torch.no_grad()
    def generate(self, text: str, frames: int, **options: Any) -> np.ndarray:
        """The codes [K, frames] that greedy `generate` makes."""
        captured: list[Tensor] = []
        decode = self.model.audio_encoder.decode

        def capture(codes: Tensor, *args: Any, **kwargs: Any) -> Any:
            captured.append(codes[0, 0])
            return decode(codes, *args, **kwargs)

        self.model.audio_encoder.decode = capture
        try:
            self.model.generate(
                **self.tokenizer(text, return_tensors="pt"),
                do_sample=False,
                # The last frames of a finite generation are made without their finer codes.
                max_new_tokens=frames + 2 * max(self.delays),
                **options,
            )
        finally:
            self.model.audio_encoder.decode = decode
        # A stereo model decodes left and right apart.
        codes = torch.stack(captured, dim=1).flatten(0, 1)
        return codes[:, :frames].numpy()

    def delayed(self, codes: np.ndarray) -> Tensor:
        """The model's input for a window of codes [K, T], by hand: int64 [K, 1 + T]."""
        num_codebooks, frames = codes.shape
        tokens = torch.full((num_codebooks, 1 + frames), self.special)
        for codebook, delay in enumerate(self.delays):
            for frame in range(frames - delay):
                tokens[codebook, 1 + frame + delay] = int(codes[codebook, frame])
        return tokens

    def assert_greedy(self, guided: Tensor, codes: np.ndarray, first: int = 0) -> None:
        """Each code [K, T] is the likeliest under guided logits [S, K, V], S > T.

        Frames from `first` on are looked at. Where two tokens are as good as equal either will do.
        """
        best, order = guided.sort(dim=-1, descending=True)
        checked = 0
        for codebook, delay in enumerate(self.delays):
            for frame in range(first, codes.shape[1]):
                at = frame + delay
                if at >= guided.shape[0] or best[at, codebook, 0] - best[at, codebook, 1] < 1e-3:
                    continue
                expected = int(order[at, codebook, 0])
                assert codes[codebook, frame] == expected, f"frame {frame}, codebook {codebook}"
                checked += 1
        assert checked > 0.9 * (codes.size - first * len(codes)) - 20

    def _text_states(self, text: str | None) -> Tensor:
        if text is None:
            return torch.zeros(1, 1, self.model.config.text_encoder.d_model)
        return self.model.text_encoder(**self.tokenizer(text, return_tensors="pt"))[0]

    def _prefix(self, states: Tensor, chroma: Tensor | None, text_length: int | None) -> Tensor:
        """As in `MusicgenMelodyForConditionalGeneration.forward`: projected chroma, then text."""
        if chroma is None:
            chroma = torch.zeros(self.model.config.chroma_length, 12)
            chroma[:, 0] = 1.0
        melody = self.model.audio_enc_to_dec_proj(chroma)[None]
        projected = self.model.enc_to_dec_proj(states)[0]
        text_length = projected.shape[0] if text_length is None else text_length
        text = torch.zeros(1, text_length, projected.shape[1])
        if states.any():
            text[0, : projected.shape[0]] = projected
        return torch.cat([melody, text], dim=1)
