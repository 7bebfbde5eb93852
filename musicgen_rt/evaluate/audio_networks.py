"""Networks that hear music, each through the library that keeps it.

None ships here: weights are the user's download. A network is given to the constructor, so that
what is around it can be tested without its weights; `load` fetches the published one.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, ClassVar, Self

import librosa
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from musicgen_rt.errors import UnsupportedError

Samples = NDArray[np.float32]
Vectors = NDArray[np.floating]

NUM_LABELS = 527
DEFAULT_CLAP = "laion/clap-htsat-fused"
_BATCH_WINDOWS = 8
# The front end of VGGish: Hershey et al. 2017 and the parameters in tensorflow/models.
_VGGISH_FRAME_SAMPLES, _VGGISH_HOP_SAMPLES, _VGGISH_FFT_SAMPLES = 400, 160, 512
_VGGISH_BANDS, _VGGISH_RANGE_HZ, _VGGISH_LOG_OFFSET = 64, (125.0, 7500.0), 0.01
_VGGISH_WINDOW_FRAMES = 96


class Vggish:
    """VGGish, the embedding of the Fréchet audio distance as it was published: 128 numbers.

    The network is torch-vggish-yamnet's. Its log-mel front end is not used: it adds 0.001 before
    the logarithm, where VGGish was trained with 0.01.
    """

    name: ClassVar[str] = "vggish"
    rate_hz: ClassVar[int] = 16_000
    window_seconds: ClassVar[float] = 0.975
    comparable_with: ClassVar[str] = (
        "FAD of papers that use VGGish, if reference set, clip length and resampling are theirs; "
        "the PCA of the TensorFlow release is not applied"
    )

    def __init__(self, network: nn.Module) -> None:
        self._network = network.eval()

    @classmethod
    def load(cls) -> Self:
        """The published weights. Raises UnsupportedError where the library or they are missing."""
        with _wanting("vggish", "torch-vggish-yamnet"):
            library = import_module("torch_vggish_yamnet.vggish")
            return cls(library.get_vggish(with_classifier=False, pretrained=True))

    def embed(self, samples: Samples) -> Vectors:
        """Samples [N] -> [W, 128], a window of 0.96 s each."""
        return _in_batches(self._network, vggish_examples(samples))


def vggish_examples(samples: Samples) -> Tensor:
    """Log-mel patches [W, 1, 96, 64] of samples [N] at 16 kHz, as VGGish was trained on."""
    margin = (_VGGISH_FFT_SAMPLES - _VGGISH_FRAME_SAMPLES) // 2
    mel = librosa.feature.melspectrogram(
        y=np.pad(samples, margin),
        sr=Vggish.rate_hz,
        n_fft=_VGGISH_FFT_SAMPLES,
        win_length=_VGGISH_FRAME_SAMPLES,
        hop_length=_VGGISH_HOP_SAMPLES,
        center=False,
        power=1.0,
        n_mels=_VGGISH_BANDS,
        fmin=_VGGISH_RANGE_HZ[0],
        fmax=_VGGISH_RANGE_HZ[1],
        htk=True,
        norm=None,
    )
    level = np.log(mel.T + _VGGISH_LOG_OFFSET).astype(np.float32)  # [T, bands]
    count = len(level) // _VGGISH_WINDOW_FRAMES
    patches = level[: count * _VGGISH_WINDOW_FRAMES]
    return torch.from_numpy(patches).reshape(count, 1, _VGGISH_WINDOW_FRAMES, _VGGISH_BANDS)


class Clap:
    """CLAP through transformers: audio and text in one space, each vector of length 1."""

    name: ClassVar[str] = "clap"
    rate_hz: ClassVar[int] = 48_000
    window_seconds: ClassVar[float] = 10.0
    comparable_with: ClassVar[str] = (
        "scores of the same CLAP checkpoint only; MusicGen's text consistency uses "
        "music_audioset_epoch_15_esc_90.14 of laion_clap"
    )

    def __init__(self, model: Any, processor: Any) -> None:
        """A transformers ClapModel and its ClapProcessor."""
        self._model, self._processor = model.eval(), processor

    @classmethod
    def load(cls, source: str = DEFAULT_CLAP) -> Self:
        """A CLAP checkpoint in transformers' layout: a folder or a hub id.

        Raises CheckpointError or UnsupportedError where it cannot be had.
        """
        from transformers import ClapModel, ClapProcessor

        from musicgen_rt.model.hub import resolve

        folder = resolve(source)
        if not any(folder.glob("*.safetensors")):
            raise UnsupportedError(
                f"{source} has no weights in safetensors, only pickles, which are not read: many "
                "have them as a pull request; `hf download ID --revision refs/pr/N --local-dir "
                "DIR`, then --clap-model DIR"
            )
        with _wanting("clap", "transformers"):
            model = ClapModel.from_pretrained(folder, use_safetensors=True)
            return cls(model, ClapProcessor.from_pretrained(folder))

    def embed(self, samples: Samples) -> Vectors:
        """Samples [N] of at least 10 s -> [W, D]; what is over after whole windows is left out."""
        windows = _windows(samples, round(self.window_seconds * self.rate_hz))
        rows = []
        for window in windows:
            heard = self._processor(audio=window, sampling_rate=self.rate_hz, return_tensors="pt")
            with torch.inference_mode():
                rows.append(self._model.get_audio_features(**heard).pooler_output)
        return torch.cat(rows).double().numpy()

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Texts -> [n, D]."""
        read = self._processor(text=list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            features: Tensor = self._model.get_text_features(**read).pooler_output
        return features.double().numpy()


class Passt:
    """PaSST through hear21passt: 527 AudioSet classes, and the 768 numbers below them."""

    name: ClassVar[str] = "passt"
    rate_hz: ClassVar[int] = 32_000
    window_seconds: ClassVar[float] = 10.0
    comparable_with: ClassVar[str] = "KL of papers that use PaSST, if clips and windows are theirs"

    def __init__(self, network: nn.Module) -> None:
        """A network whose output [B, 527 + D] is logits, then features, of samples [B, N]."""
        self._network = network.eval()

    @classmethod
    def load(cls) -> Self:
        """The published weights. Raises UnsupportedError where the library or they are missing."""
        with _wanting("passt", "hear21passt"):
            return cls(import_module("hear21passt.base").get_basic_model(mode="all"))

    def embed(self, samples: Samples) -> Vectors:
        """Samples [N] of at least 10 s -> [W, D]; what is over after whole windows is left out."""
        return self._outputs(samples)[:, NUM_LABELS:]

    def label_probabilities(self, samples: Samples) -> Vectors:
        """Samples [N] of at least 10 s -> the softmax over classes [527], mean over windows."""
        logits = torch.from_numpy(self._outputs(samples)[:, :NUM_LABELS])
        probabilities: Vectors = logits.softmax(dim=1).mean(dim=0).numpy()
        return probabilities

    def _outputs(self, samples: Samples) -> NDArray[np.float64]:
        windows = _windows(samples, round(self.window_seconds * self.rate_hz))
        return _in_batches(self._network, torch.from_numpy(windows))


def _windows(samples: Samples, length: int) -> Samples:
    """Whole windows [W, length] of samples [N]."""
    count = len(samples) // length
    return samples[: count * length].reshape(count, length)


def _in_batches(network: nn.Module, inputs: Tensor) -> NDArray[np.float64]:
    # PaSST prints the shapes of its first pass, and stdout is the report's.
    with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):
        outputs = [network(batch) for batch in inputs.split(_BATCH_WINDOWS)]
    return torch.cat(outputs).double().numpy()


@contextlib.contextmanager
def _wanting(name: str, package: str) -> Iterator[None]:
    """Say what to do where a library or its download is missing; keep its prints off stdout."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except ImportError as error:
        raise UnsupportedError(
            f"{name} needs the package {package} ({error}): install musicgen-rt[hearing], or use "
            "the built-in logmel"
        ) from error
    except (OSError, RuntimeError) as error:
        raise UnsupportedError(
            f"the weights of {name} cannot be had ({error}): {package} downloads them at the first "
            "use; try again with a network, or use the built-in logmel"
        ) from error
