"""The delay pattern against hand-written tables and against transformers' masks."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import MusicgenForCausalLM
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

from musicgen_rt.errors import ParameterError
from musicgen_rt.model.delay_pattern import (
    apply_delay,
    delayed_window,
    released_frames,
    sequence_length,
    undo_delay,
    valid_mask,
)

MONO = (0, 1, 2, 3)
STEREO = (0, 0, 1, 1, 2, 2, 3, 3)
SPECIAL = 2048
S = SPECIAL

delays_strategy = st.lists(st.integers(0, 6), min_size=1, max_size=8)


def numbered_codes(num_codebooks: int, num_frames: int) -> torch.Tensor:
    """Codes [K, T] that tell where they came from: 100 * codebook + frame."""
    return 100 * torch.arange(num_codebooks)[:, None] + torch.arange(num_frames)


def transformers_decoder(num_codebooks: int, audio_channels: int) -> MusicgenForCausalLM:
    config = MusicgenDecoderConfig(
        vocab_size=SPECIAL,
        num_codebooks=num_codebooks,
        audio_channels=audio_channels,
        hidden_size=16,
        ffn_dim=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        pad_token_id=SPECIAL,
        bos_token_id=SPECIAL,
    )
    return MusicgenForCausalLM(config)


def test_mono_table() -> None:
    expected = [
        [S, 0, 1, 2, 3, S, S, S],
        [S, S, 100, 101, 102, 103, S, S],
        [S, S, S, 200, 201, 202, 203, S],
        [S, S, S, S, 300, 301, 302, 303],
    ]
    assert apply_delay(numbered_codes(4, 4), MONO, SPECIAL).tolist() == expected


def test_stereo_table() -> None:
    expected = [
        [S, 0, 1, S, S, S],
        [S, 100, 101, S, S, S],
        [S, S, 200, 201, S, S],
        [S, S, 300, 301, S, S],
        [S, S, S, 400, 401, S],
        [S, S, S, 500, 501, S],
        [S, S, S, S, 600, 601],
        [S, S, S, S, 700, 701],
    ]
    assert apply_delay(numbered_codes(8, 2), STEREO, SPECIAL).tolist() == expected


def test_window_table() -> None:
    codes = numbered_codes(4, 5)
    unknown = -7
    for codebook, delay in enumerate(MONO):
        codes[codebook, 5 - delay :] = unknown
    expected = [
        [S, 0, 1, 2, 3, 4],
        [S, S, 100, 101, 102, 103],
        [S, S, S, 200, 201, 202],
        [S, S, S, S, 300, 301],
    ]
    assert delayed_window(codes, MONO, SPECIAL).tolist() == expected


@pytest.mark.parametrize("num_frames", [0, 1, 2, 3])
def test_window_shorter_than_the_delays(num_frames: int) -> None:
    window = delayed_window(numbered_codes(4, num_frames), MONO, SPECIAL)
    whole = apply_delay(numbered_codes(4, num_frames), MONO, SPECIAL)
    assert window.tolist() == whole[:, : 1 + num_frames].tolist()


@pytest.mark.parametrize(("delays", "audio_channels"), [(MONO, 1), (STEREO, 2)])
@pytest.mark.parametrize("num_frames", [4, 9])
def test_agrees_with_transformers(
    delays: tuple[int, ...], audio_channels: int, num_frames: int
) -> None:
    num_codebooks = len(delays)
    decoder = transformers_decoder(num_codebooks, audio_channels)
    codes = torch.randint(0, SPECIAL, (2, num_codebooks, num_frames))
    begin = torch.full((2, num_codebooks, 1), SPECIAL)
    prompt = torch.cat([begin, codes], dim=-1).reshape(2 * num_codebooks, -1)
    length = sequence_length(num_frames, delays)
    _, pattern = decoder.build_delay_pattern_mask(
        cast(torch.LongTensor, prompt), SPECIAL, max_length=length
    )
    delayed = apply_delay(codes, delays, SPECIAL)
    assert torch.equal(delayed, pattern.view(2, num_codebooks, length))

    _, empty = decoder.build_delay_pattern_mask(
        cast(torch.LongTensor, begin.view(-1, 1)), SPECIAL, max_length=length
    )
    to_generate = empty.view(2, num_codebooks, length)[0] == -1
    assert torch.equal(valid_mask(num_frames, delays), to_generate)


@pytest.mark.parametrize(("delays", "audio_channels"), [(MONO, 1), (STEREO, 2)])
def test_window_is_what_transformers_feeds_after_a_prompt(
    delays: tuple[int, ...], audio_channels: int
) -> None:
    """A prompt of T frames in transformers starts generation after the same 1 + T positions."""
    decoder = transformers_decoder(len(delays), audio_channels)
    codes = torch.randint(0, SPECIAL, (1, len(delays), 6))
    prompt = torch.cat([torch.full((1, len(delays), 1), SPECIAL), codes], dim=-1)[0]
    first_input, _ = decoder.build_delay_pattern_mask(
        cast(torch.LongTensor, prompt), SPECIAL, max_length=30
    )
    assert torch.equal(delayed_window(codes[0], delays, SPECIAL), first_input)


@settings(max_examples=60, deadline=None)
@given(delays=delays_strategy, num_frames=st.integers(0, 12))
def test_round_trip(delays: list[int], num_frames: int) -> None:
    codes = torch.randint(0, SPECIAL, (3, len(delays), num_frames))
    delayed = apply_delay(codes, delays, SPECIAL)
    assert delayed.shape == (3, len(delays), 1 + num_frames + max(delays))
    assert torch.equal(undo_delay(delayed, delays), codes)
    assert torch.equal(valid_mask(num_frames, delays), delayed[0] != SPECIAL)
    window = delayed_window(codes, delays, SPECIAL)
    assert torch.equal(window, delayed[..., : 1 + num_frames])


@settings(max_examples=60, deadline=None)
@given(delays=delays_strategy, steps=st.integers(0, 15))
def test_released_frames_are_the_known_ones(delays: list[int], steps: int) -> None:
    """Count by simulation: step s makes codebook k of frame s - delays[k]."""
    made = {
        (codebook, step - delay)
        for step in range(steps)
        for codebook, delay in enumerate(delays)
        if step >= delay
    }
    complete = 0
    while all((codebook, complete) in made for codebook in range(len(delays))):
        complete += 1
    assert released_frames(steps, delays) == complete


@settings(max_examples=30, deadline=None)
@given(steps=st.integers(1, 12), start=st.integers(0, 8))
def test_window_keeps_every_known_code(steps: int, start: int) -> None:
    """A stream rolled at any step: all known codes since the window start are in the input."""
    total = start + steps
    stream = numbered_codes(4, total)
    known = {
        int(stream[codebook, frame])
        for codebook, delay in enumerate(MONO)
        for frame in range(start, total - delay)
    }
    window = delayed_window(stream[:, start:], MONO, SPECIAL)
    assert set(window.flatten().tolist()) - {SPECIAL} == known


def test_undo_drops_the_unfinished_diagonals() -> None:
    codes = numbered_codes(4, 6)
    delayed = apply_delay(codes, MONO, SPECIAL)
    assert torch.equal(undo_delay(delayed[:, :-2], MONO), codes[:, :4])


def test_input_is_not_modified_and_dtype_stays() -> None:
    codes = numbered_codes(4, 5).to(torch.int32)
    before = codes.clone()
    assert apply_delay(codes, MONO, SPECIAL).dtype == torch.int32
    assert torch.equal(codes, before)


def test_errors_name_what_was_expected() -> None:
    with pytest.raises(ParameterError, match=r"\[\.\.\., 4, T\]"):
        apply_delay(numbered_codes(3, 5), MONO, SPECIAL)
    with pytest.raises(ParameterError, match="too short"):
        undo_delay(numbered_codes(4, 3), MONO)
    with pytest.raises(ParameterError, match="delay >= 0"):
        apply_delay(numbered_codes(2, 5), (0, -1), SPECIAL)
    with pytest.raises(ParameterError, match="steps is -1"):
        released_frames(-1, MONO)
