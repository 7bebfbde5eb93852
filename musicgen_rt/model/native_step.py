"""The decoder's step as one call of compiled code, in place of some hundred operators.

It reads the same weights and caches as `LM.step` and computes the same, in float32 throughout
where that one rounds to the compute dtype between operators. int4 weights meet inputs that are
rounded to int8 in groups of 64, in whole numbers.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from musicgen_rt.errors import MusicgenRTError
from musicgen_rt.model.kv_cache import CrossCache, KVCache
from musicgen_rt.model.linear import INT4_GROUP, DenseLinear, Int4Linear, Int8Linear
from musicgen_rt.model.lm import LM, DecoderLayer
from musicgen_rt.model.native_build import native_library

_DENSE_FORMATS = {torch.float32: 0, torch.bfloat16: 1}
_INT8, _INT4 = 2, 3
# Outputs of an int4 matrix that lie together.
_OUT_BLOCK = 16
_MATRICES = ("qkv", "self_out", "cross_query", "cross_out", "up", "down")
_NORMS = ("self", "cross", "feed_forward")


class _Matrix(ctypes.Structure):
    _fields_ = (
        ("format", ctypes.c_int),
        ("out", ctypes.c_int),
        ("in_", ctypes.c_int),
        ("weight", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
    )


class _Norm(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Layer(ctypes.Structure):
    _fields_ = (("matrices", _Matrix * len(_MATRICES)), ("norms", _Norm * len(_NORMS)))


class _Decoder(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_int),
        ("heads", ctypes.c_int),
        ("hidden", ctypes.c_int),
        ("num_layers", ctypes.c_int),
        ("has_cross", ctypes.c_int),
        ("epsilon", ctypes.c_float),
        ("layers", ctypes.POINTER(_Layer)),
        ("final_norm", _Norm),
        ("output", _Matrix),
    )


class _Cache(ctypes.Structure):
    _fields_ = (
        ("format", ctypes.c_int),
        ("positions", ctypes.c_int),
        ("keys", ctypes.POINTER(ctypes.c_void_p)),
        ("values", ctypes.POINTER(ctypes.c_void_p)),
    )


@functools.lru_cache(maxsize=1)
def native_step(lm: LM) -> Callable[..., Tensor] | None:
    """A function like `lm.step`; None off the CPU, for fp16, and where nothing can be compiled."""
    if lm.device.type != "cpu" or lm.dtype not in _DENSE_FORMATS:
        return None
    library = native_library()
    return None if library is None else NativeStep(lm, library)


class NativeStep:
    """One LM's step. One thread at a time; it uses as many as torch may."""

    def __init__(self, lm: LM, library: ctypes.CDLL) -> None:
        """Raises MusicgenRTError if the library lays out its structures otherwise."""
        for index, kind in enumerate((_Matrix, _Norm, _Layer, _Decoder, _Cache)):
            if library.mgrt_decoder_sizes(index) != ctypes.sizeof(kind):
                raise MusicgenRTError(
                    f"the compiled step has another {kind.__name__.strip('_')} than expected: "
                    "remove the folder 'native' from the cache folder"
                )
        self._lm = lm
        self._call = library.mgrt_decoder_step
        self._call.restype = None
        self._call.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_int] * 3 + [ctypes.c_void_p] * 2
        self._kept: list[Tensor] = []
        config = lm.config
        self._layers = (_Layer * config.num_layers)(*map(self._layer, lm.layers))
        first = lm.layers[0]
        self._decoder = _Decoder(
            config.d_model,
            config.num_heads,
            config.ffn_dim,
            config.num_layers,
            int(isinstance(first, DecoderLayer) and first.has_cross_attention),
            config.layer_norm_eps,
            self._layers,
            self._norm(lm.final_norm),
            self._matrix(lm.heads),
        )
        self._caches: weakref.WeakKeyDictionary[KVCache | CrossCache, _CachePointers] = (
            weakref.WeakKeyDictionary()
        )

    def __call__(
        self,
        tokens: Tensor,
        position: Tensor,
        span: int,
        cache: KVCache,
        cross: CrossCache | None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """As `LM.step`. Only what is written is read, so `span` makes no difference."""
        lm, config = self._lm, self._lm.config
        place = int(position)
        x = lm.input_row(tokens) + lm.position_table[place]
        x = x.expand(cache.rows, config.d_model)
        x = (x if bias is None else x + bias).contiguous()
        logits = torch.empty(cache.rows, config.num_codebooks, config.vocab_size)
        text, lengths = None, None
        if cross is not None:
            text = ctypes.byref(self._pointers(cross).cache)
            lengths = (ctypes.c_int * cache.rows)(*cross.lengths)
        self._call(
            ctypes.byref(self._decoder),
            ctypes.byref(self._pointers(cache).cache),
            text,
            lengths,
            cache.rows,
            place,
            torch.get_num_threads(),
            x.data_ptr(),
            logits.data_ptr(),
        )
        return logits

    def _pointers(self, cache: KVCache | CrossCache) -> _CachePointers:
        if cache not in self._caches:
            self._caches[cache] = _CachePointers.of(cache)
        return self._caches[cache]

    def _layer(self, layer: nn.Module) -> _Layer:
        assert isinstance(layer, DecoderLayer)
        matrices, norms = (_Matrix * len(_MATRICES))(), (_Norm * len(_NORMS))()
        for index, name in enumerate(_MATRICES):
            if name in layer.linears:
                matrices[index] = self._matrix(layer.linears[name])
        for index, name in enumerate(_NORMS):
            if name in layer.norms:
                norms[index] = self._norm(layer.norms[name])
        return _Layer(matrices, norms)

    def _norm(self, norm: nn.Module) -> _Norm:
        assert isinstance(norm, nn.LayerNorm)
        return _Norm(self._keep(norm.weight.float()), self._keep(norm.bias.float()))

    def _matrix(self, linear: nn.Module) -> _Matrix:
        if isinstance(linear, Int4Linear):
            out, inputs = linear.dense.shape
            return _Matrix(_INT4, out, inputs, self._keep(_packed(linear)), None)
        if isinstance(linear, Int8Linear):
            out, inputs = linear.weight.shape
            scales = self._keep(linear.scales.float())
            return _Matrix(_INT8, out, inputs, self._keep(linear.weight), scales)
        assert isinstance(linear, DenseLinear)
        out, inputs = linear.weight.shape
        kind = _DENSE_FORMATS[linear.weight.dtype]
        return _Matrix(kind, out, inputs, self._keep(linear.weight), None)

    def _keep(self, tensor: Tensor) -> int:
        """The address of a tensor that lives as long as this does."""
        self._kept.append(tensor.detach().contiguous())
        return self._kept[-1].data_ptr()


@dataclass(frozen=True)
class _CachePointers:
    cache: _Cache

    @classmethod
    def of(cls, cache: KVCache | CrossCache) -> _CachePointers:
        first = cache.keys[0]
        keys, values = _addresses(cache.keys), _addresses(cache.values)
        return cls(_Cache(_DENSE_FORMATS[first.dtype], first.shape[2], keys, values))


def _addresses(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    assert all(tensor.is_contiguous() for tensor in tensors)
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def _packed(linear: Int4Linear) -> Tensor:
    """The matrix as the code's `Int4Group`: uint8 [out / 16, groups, 576].

    Four inputs of 16 outputs are 64 levels; the first half of a group's fill the low nibbles of
    8 such rows, the other half the high ones. Behind them the scales and zeros of the outputs.
    """
    levels = linear.unpacked_levels()
    out, inputs = levels.shape
    quads = levels.view(out // _OUT_BLOCK, _OUT_BLOCK, inputs // INT4_GROUP, INT4_GROUP // 4, 4)
    low, high = quads.permute(0, 2, 3, 1, 4).flatten(2).chunk(2, dim=2)
    pairs = linear.scales_and_zeros.view(-1, out // _OUT_BLOCK, _OUT_BLOCK, 2)
    ends = pairs.permute(1, 0, 3, 2).flatten(2).contiguous().view(torch.uint8)
    return torch.cat([low | (high << 4), ends], dim=2)
