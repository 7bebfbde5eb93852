"""Bytes are tokens as for transformers' ByT5, whatever is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, ByT5Tokenizer

from musicgen_rt.model.tokenizer import load_tokenizer

POCKET = Path(__file__).parents[2] / "musicgen_rt" / "pocket"
SPECIALS = ["<pad>", "</s>", "<unk>", "<extra_id_7>", "<extra_id_124>", "<", "s>", "  "]
WORDS = st.sampled_from(SPECIALS) | st.text(st.characters(codec="utf-8"), max_size=8)


@pytest.mark.filterwarnings("ignore:This sequence already has")
def test_tokens_are_transformers() -> None:
    reference, tokenizer = AutoTokenizer.from_pretrained(POCKET), load_tokenizer(POCKET)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(WORDS, max_size=5).map("".join))
    def check(text: str) -> None:
        assert tokenizer(text) == list(reference(text).input_ids)

    check()


def test_a_fresh_byt5_is_one_too(tmp_path: Path) -> None:
    ByT5Tokenizer().save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path)("é") == [195 + 3, 169 + 3, 1]


@pytest.mark.parametrize(
    "change",
    [{"extra_special_tokens": ["drums"], "extra_ids": 0}, {"do_lower_case": True, "extra_ids": 0}],
)
def test_a_byt5_with_ways_of_its_own_is_left_to_transformers(
    tmp_path: Path, change: dict[str, object]
) -> None:
    ByT5Tokenizer().save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    reference = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("loud drums", "Drums"):
        assert load_tokenizer(tmp_path)(text) == list(reference(text).input_ids)


LIGHT = """
import sys
from musicgen_rt.model.musicgen import MusicGen
MusicGen.load(sys.argv[1], device="cpu", weights="fp32").text.encode("deep house")
print(*(name for name in ("transformers", "torch._dynamo", "sympy") if name in sys.modules))
"""


def test_what_takes_seconds_to_import_is_not_needed_to_play(tiny_frame_conditioned: Path) -> None:
    command = [sys.executable, "-c", LIGHT, str(tiny_frame_conditioned)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
