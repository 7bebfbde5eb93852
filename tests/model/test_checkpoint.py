"""A sound checkpoint opens in any layout; a damaged one is refused before use, saying why."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MusicgenForConditionalGeneration

from musicgen_rt.errors import CheckpointError
from musicgen_rt.model import hub
from musicgen_rt.model.checkpoint import Checkpoint
from musicgen_rt.model.safetensors_file import MAX_HEADER_BYTES, read_header

WEIGHTS = "model.safetensors"
Tensors = dict[str, torch.Tensor]
FINAL_NORM = "decoder.model.decoder.layer_norm.weight"


@pytest.fixture
def copy(tiny_text: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny_text, tmp_path / "copy"))


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.open(folder)
    return str(caught.value)


def rewrite(folder: Path, change: Callable[[Tensors], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def write_raw(path: Path, header: object, data: bytes = b"") -> None:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)


@pytest.mark.parametrize("kind", ["text", "stereo", "melody", "frame_conditioned"])
def test_every_kind_opens_and_reads_back(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(f"tiny_{kind}")
    reference = load_file(folder / WEIGHTS)
    with Checkpoint.open(folder) as checkpoint:
        assert set(reference) <= set(checkpoint.names())
        for name, tensor in reference.items():
            assert torch.equal(checkpoint.tensor(name), tensor)


def test_frame_conditioning_tensors_are_read(tiny_frame_conditioned: Path) -> None:
    reference = load_file(tiny_frame_conditioned / "frame_conditioning.safetensors")
    assert set(reference) == {
        *("clock.weight", "clock.bias", "clock.null", "chroma.weight", "chroma.null"),
        *(
            f"attributes.{a}.{part}"
            for a in ("drums", "bass", "lead")
            for part in ("weight", "null")
        ),
    }
    with Checkpoint.open(tiny_frame_conditioned) as checkpoint:
        for name, tensor in reference.items():
            assert torch.equal(checkpoint.tensor(name), tensor)


def test_an_unknown_tensor_is_named(tiny_text: Path) -> None:
    with pytest.raises(CheckpointError, match="no tensor 'nothing'"):
        Checkpoint.open(tiny_text).tensor("nothing")


def test_tensors_outlive_the_checkpoint(tiny_text: Path) -> None:
    with Checkpoint.open(tiny_text) as checkpoint:
        tensor = checkpoint.tensor(FINAL_NORM)
    assert torch.equal(tensor, load_file(tiny_text / WEIGHTS)[FINAL_NORM])


# --- layouts ---


def test_shards_written_by_transformers_open(tiny_text: Path, tmp_path: Path) -> None:
    model = MusicgenForConditionalGeneration.from_pretrained(tiny_text)
    model.save_pretrained(tmp_path, max_shard_size="400KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    reference = load_file(tiny_text / WEIGHTS)
    with Checkpoint.open(tmp_path) as checkpoint:
        for name, tensor in reference.items():
            assert torch.equal(checkpoint.tensor(name), tensor)


def test_the_hub_caches_symbolic_links_open(tiny_text: Path, tmp_path: Path) -> None:
    for source in tiny_text.iterdir():
        blob = tmp_path / "blobs" / f"blob-of-{source.stem}"
        blob.parent.mkdir(exist_ok=True)
        shutil.copy(source, blob)
        link = tmp_path / "snapshots" / "abc" / source.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    Checkpoint.open(tmp_path / "snapshots" / "abc").close()


def test_the_older_spelling_of_weight_norm_is_read(copy: Path) -> None:
    """The official files have weight_g and weight_v; transformers reads both alike."""

    def rename(tensors: Tensors) -> None:
        for name in list(tensors):
            old = name.replace(".parametrizations.weight.original0", ".weight_g")
            old = old.replace(".parametrizations.weight.original1", ".weight_v")
            tensors[old] = tensors.pop(name)

    reference = load_file(copy / WEIGHTS)
    rewrite(copy, rename)
    assert any(name.endswith(".weight_g") for name in load_file(copy / WEIGHTS))
    with Checkpoint.open(copy) as checkpoint:
        for name, tensor in reference.items():
            assert torch.equal(checkpoint.tensor(name), tensor)
        old = "audio_encoder.decoder.layers.0.conv.weight_g"
        new = "audio_encoder.decoder.layers.0.conv.parametrizations.weight.original0"
        assert torch.equal(checkpoint.tensor(old), reference[new])


def test_the_tied_text_embedding_may_have_either_name(copy: Path) -> None:
    first, second = "text_encoder.shared.weight", "text_encoder.encoder.embed_tokens.weight"
    reference = load_file(copy / WEIGHTS)
    assert first in reference and second not in reference
    rewrite(copy, lambda tensors: tensors.update({second: tensors.pop(first)}))
    with Checkpoint.open(copy) as checkpoint:
        for name in (first, second):
            assert torch.equal(checkpoint.tensor(name), reference[first])


def test_half_precision_opens(copy: Path) -> None:
    rewrite(copy, lambda tensors: tensors.update({k: v.half() for k, v in tensors.items()}))
    with Checkpoint.open(copy) as checkpoint:
        assert checkpoint.tensor(FINAL_NORM).dtype == torch.float16


# --- the folder and its JSON files ---


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "nowhere")


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    assert "no config.json" in refused(tmp_path)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"{", "config.json is not JSON"),
        (b"\xff\xfe{}", "config.json is not JSON"),
        (b"[" * 200_000, "config.json is not JSON"),
        (b"[]", "expected an object"),
        (b"{}", "model_type is missing"),
    ],
)
def test_a_damaged_config_is_refused(copy: Path, content: bytes, named: str) -> None:
    (copy / "config.json").write_bytes(content)
    message = refused(copy)
    assert named in message and str(copy) in message


def test_a_text_encoder_that_transformers_does_not_know_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["text_encoder"]["model_type"] = "no-such-encoder"
    (copy / "config.json").write_text(json.dumps(config))
    assert "no-such-encoder" in refused(copy)


def test_a_folder_without_weights_is_refused(copy: Path) -> None:
    (copy / WEIGHTS).unlink()
    assert f"expected {WEIGHTS}" in refused(copy)


class _Canary:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "state_dict.bin", "model.ckpt"])
def test_pickled_weights_are_refused_unopened(copy: Path, tmp_path: Path, name: str) -> None:
    (copy / WEIGHTS).unlink()
    (copy / name).write_bytes(pickle.dumps(_Canary(tmp_path / "canary")))
    message = refused(copy)
    assert "pickle can run code" in message and "save_pretrained" in message and name in message
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_called_safetensors_is_refused(copy: Path, tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    (copy / WEIGHTS).write_bytes(pickle.dumps(_Canary(canary), protocol=protocol))
    assert "pickle" in refused(copy)
    assert not canary.exists()


def test_torch_saves_are_refused_under_any_name(copy: Path) -> None:
    torch.save({"a": torch.zeros(3)}, copy / WEIGHTS)
    assert "PyTorch pickle" in refused(copy)


def test_a_git_lfs_pointer_is_called_one(copy: Path) -> None:
    (copy / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refused(copy)


# --- one safetensors file ---


def cut_points(path: Path) -> dict[str, int]:
    header_bytes = int.from_bytes(path.read_bytes()[:8], "little")
    size = path.stat().st_size
    return {
        "empty": 0,
        "in the length": 4,
        "after the length": 8,
        "in the header": 8 + header_bytes // 2,
        "after the header": 8 + header_bytes,
        "in the data": 8 + header_bytes + (size - header_bytes) // 2,
        "last byte": size - 1,
    }


@pytest.mark.parametrize(
    "where",
    [
        "empty",
        "in the length",
        "after the length",
        "in the header",
        "after the header",
        "in the data",
        "last byte",
    ],
)
def test_a_cut_is_seen_at_any_point(copy: Path, where: str) -> None:
    path = copy / WEIGHTS
    size = cut_points(path)[where]
    os.truncate(path, size)
    message = refused(copy)
    assert f"{path}: cut short: {size} bytes, expected" in message


def test_the_size_that_a_cut_file_should_have_is_told(copy: Path) -> None:
    path = copy / WEIGHTS
    size = path.stat().st_size
    os.truncate(path, size - 1)
    assert f"expected {size} bytes" in refused(copy)


def test_bytes_after_the_last_tensor_are_refused(copy: Path) -> None:
    with (copy / WEIGHTS).open("ab") as file:
        file.write(b"x")
    assert "after the last tensor" in refused(copy)


@pytest.mark.parametrize("claimed", [0, 1, MAX_HEADER_BYTES + 1, 1 << 60, (1 << 64) - 1])
def test_a_header_bomb_is_refused(tmp_path: Path, claimed: int) -> None:
    path = tmp_path / WEIGHTS
    path.write_bytes(claimed.to_bytes(8, "little") + b"{}" * 8)
    with pytest.raises(CheckpointError, match=f"claims a header of {claimed} bytes"):
        read_header(path)


def entry(begin: int, end: int, **changes: Any) -> dict[str, Any]:
    shape = [(end - begin) // 4]
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]} | changes


@pytest.mark.parametrize(
    ("header", "named"),
    [
        (b"not json at all", "not JSON"),
        (b"\xff\xff\xff\xff", "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        ([1, 2], "not a JSON object"),
        ({"a": 5}, "an object with dtype"),
        ({"a": entry(0, 16, dtype="F33")}, "a dtype of"),
        ({"a": entry(0, 16, dtype=["F32"])}, "a dtype of"),
        ({"a": entry(0, 16, shape=4)}, "a shape of"),
        ({"a": entry(0, 16, shape=[-4])}, "a shape of"),
        ({"a": entry(0, 16, shape=[4.0])}, "a shape of"),
        ({"a": entry(0, 16, shape=[1] * 9)}, "a shape of"),
        ({"a": entry(0, 16, data_offsets=[16, 0])}, "data_offsets"),
        ({"a": entry(0, 16, data_offsets=[-16, 0])}, "data_offsets"),
        ({"a": entry(0, 16, data_offsets=[0])}, "data_offsets"),
        ({"a": entry(0, 16, shape=[5])}, "20 bytes for F32"),
        ({"a": entry(0, 16, shape=[1 << 62])}, "bytes for F32"),
        ({"a": entry(0, 8), "b": entry(4, 16)}, "overlaps"),
        ({"a": entry(0, 8), "b": entry(0, 8), "c": entry(8, 16)}, "overlaps"),
        ({"a": entry(0, 8), "b": entry(12, 16)}, "gap"),
        ({"a": entry(4, 16)}, "gap"),
        ({"a": entry(0, 32)}, "cut short"),
        ({"a": entry(0, 1 << 50)}, "cut short"),
        ({"a": entry(0, 8)}, "after the last tensor"),
    ],
)
def test_a_bad_header_is_refused(tmp_path: Path, header: object, named: str) -> None:
    path = tmp_path / WEIGHTS
    write_raw(path, header, data=bytes(16))
    with pytest.raises(CheckpointError) as caught:
        read_header(path)
    assert named in str(caught.value) and str(path) in str(caught.value)


def test_a_sound_header_is_read(tmp_path: Path) -> None:
    write_raw(tmp_path / WEIGHTS, {"b": entry(8, 16), "a": entry(0, 8)}, data=bytes(16))
    entries = read_header(tmp_path / WEIGHTS)
    assert {name: (e.shape, e.begin) for name, e in entries.items()} == {
        "a": ((2,), 0),
        "b": ((2,), 8),
    }


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / WEIGHTS)
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_header(tmp_path / WEIGHTS)


def test_a_dangling_link_is_refused(copy: Path) -> None:
    (copy / WEIGHTS).unlink()
    (copy / WEIGHTS).symlink_to(copy / "gone")
    assert "no such file" in refused(copy)


# --- the tensors ---


@pytest.mark.parametrize(
    "name",
    [
        FINAL_NORM,
        "decoder.lm_heads.3.weight",
        "decoder.model.decoder.layers.1.encoder_attn.v_proj.weight",
        "enc_to_dec_proj.bias",
        "text_encoder.encoder.final_layer_norm.weight",
        "text_encoder.shared.weight",
        "audio_encoder.decoder.layers.0.conv.bias",
        "audio_encoder.quantizer.layers.3.codebook.embed",
    ],
)
def test_a_missing_tensor_is_named(copy: Path, name: str) -> None:
    rewrite(copy, lambda tensors: tensors.pop(name))
    assert f"{WEIGHTS}: tensor {name} is missing, expected [" in refused(copy)


def test_a_wrong_shape_is_named_with_both_shapes(copy: Path) -> None:
    name = "decoder.model.decoder.layers.0.fc1.weight"
    rewrite(copy, lambda tensors: tensors.update({name: torch.zeros(3, 64)}))
    assert f"{name} has shape [3, 64], expected [256, 64]" in refused(copy)


def test_integers_are_not_weights(copy: Path) -> None:
    rewrite(copy, lambda tensors: tensors.update({FINAL_NORM: torch.zeros(64).long()}))
    assert f"{FINAL_NORM} is I64, expected one of F64, F32, F16, BF16" in refused(copy)


def test_many_faults_are_cut_to_the_first_few(copy: Path) -> None:
    rewrite(copy, lambda tensors: [tensors.pop(name) for name in list(tensors) if "layers" in name])
    message = refused(copy)
    assert "more)" in message and len(message) < 2000


def test_weights_of_another_size_are_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["decoder"]["hidden_size"] = 128
    (copy / "config.json").write_text(json.dumps(config))
    assert "has shape [65, 64], expected [65, 128]" in refused(copy)


def test_a_melody_model_needs_its_chroma_projection(tiny_melody: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_melody, tmp_path / "melody"))
    rewrite(folder, lambda tensors: tensors.pop("audio_enc_to_dec_proj.weight"))
    assert "audio_enc_to_dec_proj.weight is missing, expected [64, 12]" in refused(folder)


# --- shards ---


@pytest.fixture
def sharded(copy: Path) -> Path:
    tensors = load_file(copy / WEIGHTS)
    (copy / WEIGHTS).unlink()
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, copy / file)
    weight_map = {name: file for file, part in parts.items() for name in part}
    index = {"metadata": {}, "weight_map": weight_map}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    return copy


def edit_index(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


def test_shards_open(sharded: Path) -> None:
    Checkpoint.open(sharded).close()


def test_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / "b.safetensors").unlink()
    assert f"{sharded / 'b.safetensors'}: no such file" in refused(sharded)


def test_a_cut_shard_is_named(sharded: Path) -> None:
    os.truncate(sharded / "b.safetensors", 1000)
    assert f"{sharded / 'b.safetensors'}: cut short" in refused(sharded)


def test_a_tensor_that_is_not_in_its_shard_is_named(sharded: Path) -> None:
    edit_index(sharded, lambda index: index["weight_map"].update({"extra": "a.safetensors"}))
    assert "tensor 'extra' is missing" in refused(sharded)


@pytest.mark.parametrize("file", ["../a.safetensors", "/etc/passwd", "a.bin", 5, "", ".."])
def test_a_shard_must_lie_in_the_folder(sharded: Path, file: object) -> None:
    edit_index(sharded, lambda index: index["weight_map"].update({"extra": file}))
    assert "expected the plain name" in refused(sharded)


@pytest.mark.parametrize("weight_map", [None, [], {}, "x"])
def test_an_index_without_names_is_refused(sharded: Path, weight_map: object) -> None:
    edit_index(sharded, lambda index: index.update(weight_map=weight_map))
    assert "weight_map" in refused(sharded)


# --- frame conditioning ---


@pytest.fixture
def framed(tiny_frame_conditioned: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_frame_conditioned, tmp_path / "framed"))


def test_the_conditioners_file_must_be_there(framed: Path) -> None:
    (framed / "frame_conditioning.safetensors").unlink()
    assert "frame_conditioning.safetensors: no such file" in refused(framed)


def test_the_conditioners_must_be_described(framed: Path) -> None:
    config = json.loads((framed / "config.json").read_text())
    del config["frame_conditioning"]
    (framed / "config.json").write_text(json.dumps(config))
    assert "config.json has no frame_conditioning" in refused(framed)


def test_a_conditioner_of_the_wrong_shape_is_named(framed: Path) -> None:
    path = framed / "frame_conditioning.safetensors"
    save_file(load_file(path) | {"chroma.weight": torch.zeros(12, 64)}, path)
    assert "chroma.weight has shape [12, 64], expected [13, 64]" in refused(framed)


def test_an_unknown_conditioner_is_refused(framed: Path) -> None:
    config = json.loads((framed / "config.json").read_text())
    config["frame_conditioning"]["mood"] = True
    (framed / "config.json").write_text(json.dumps(config))
    assert "unknown key 'mood'" in refused(framed)


# --- the hub ---


def test_a_local_folder_resolves_to_itself(
    tiny_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.resolve(str(tiny_text)) == tiny_text.resolve()
    monkeypatch.chdir(tiny_text.parent)
    assert hub.resolve(tiny_text.name) == tiny_text.resolve()


def no_network(*args: object, **kwargs: object) -> None:
    raise AssertionError("the network was asked")


def test_an_id_that_is_not_cached_fails_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", no_network)
    with pytest.raises(CheckpointError) as caught:
        hub.resolve("facebook/musicgen-small")
    assert "HF_HUB_OFFLINE forbids" in str(caught.value) and "local folder" in str(caught.value)


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_text: Path) -> Path:
    """The folder of a checkpoint in the hub's cache, and a network that must not be asked."""
    repository = tmp_path / "models--facebook--musicgen-small"
    commit = "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(tiny_text, repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", no_network)
    return repository / "snapshots" / commit


def test_a_cached_id_needs_no_network(cached: Path) -> None:
    assert hub.resolve("facebook/musicgen-small") == cached
    Checkpoint.open(cached).close()


def test_a_cached_part_is_whole_without_what_it_does_not_need(cached: Path) -> None:
    """A codec has no tokenizer, and audiocraft's files have no config.json."""
    (cached / "tokenizer_config.json").unlink()
    assert hub.resolve("facebook/musicgen-small", needed=("config.json",)) == cached
    pickled = ("state_dict.bin",)
    for file in cached.iterdir():
        file.unlink()
    (cached / pickled[0]).write_bytes(b"")
    assert hub.resolve("facebook/musicgen-small", wanted=pickled, needed=pickled) == cached


@pytest.mark.parametrize("gone", [WEIGHTS, "tokenizer_config.json"])
def test_a_half_filled_cache_is_not_taken_for_the_checkpoint(
    cached: Path, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (cached / gone).unlink()
    with pytest.raises(CheckpointError, match="not in the local cache"):
        hub.resolve("facebook/musicgen-small")


def test_a_hub_that_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import threading

    never = threading.Event()
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *a, **k: never.wait())
    monkeypatch.setattr(hub, "_PROBE_SECONDS", 0.05)
    with pytest.raises(CheckpointError, match="cannot be reached"):
        hub.resolve("facebook/musicgen-small")
    never.set()


@pytest.mark.parametrize("name", ["musicgen-small", "musicgen-stereo-melody-large"])
def test_a_name_without_organisation_gets_a_hint(name: str) -> None:
    with pytest.raises(CheckpointError, match=f"did you mean facebook/{name}"):
        hub.resolve(name)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "  ",
        "../../no-such-etc",
        "a/../b",
        "org/na\nme",
        "org/\x00name",
        "org/name/more",
        "/no/such/folder",
        "~nobody-of-this-name/x",
        "http://example.com/x",
        "org/na me",
        "org/name.",
        "org/name.git",
        "org/a--b",
        "x" * 10_000,
        "org/" + "x" * 300,
    ],
)
def test_weird_ids_are_refused_without_network(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", no_network)
    with pytest.raises(CheckpointError):
        hub.resolve(source)


def test_a_file_is_not_a_checkpoint(tiny_text: Path) -> None:
    with pytest.raises(CheckpointError, match="is a file"):
        hub.resolve(str(tiny_text / WEIGHTS))
