"""What CUDA graphs stand on, seen on the CPU: fixed shapes and addresses, no look at values."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from musicgen_rt.live.engine import Engine
from musicgen_rt.live.melody import melody_from_notes
from musicgen_rt.live.stepper import StepBlock, Stepper, StepResult
from musicgen_rt.model.kv_cache import CrossCache, KVCache
from musicgen_rt.model.notes import Note
from tests.live.conftest import EngineMaker


class Watching(Stepper):
    """A stepper that notes what it is given."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.calls: list[tuple[StepBlock, KVCache, CrossCache | None]] = []

    def run(self, block: StepBlock, cache: KVCache, cross: CrossCache | None) -> StepResult:
        self.calls.append((block, cache, cross))
        return super().run(block, cache, cross)


def watched(engine: Engine) -> tuple[Engine, Watching]:
    stepper = Watching(engine.model.lm)
    engine.parts = replace(engine.parts, stepper=stepper)
    engine.reset()
    return engine, stepper


def live_session(engine: Engine) -> None:
    """Everything that may vary from step to step, without a change of rows."""
    engine.set_prompt("deep house")
    kind = engine.model.config
    if kind.kind == "melody" or kind.frame_conditioning is not None:
        engine.set_melody(melody_from_notes([Note(60, 0.0, 0.5)], loop_seconds=0.5))
    engine.step(30)
    engine.set_prompt("warm strings")
    engine.set_parameter("cfg", 5.0, ramp_frames=20)
    engine.set_parameter("temperature", 0.0)
    engine.set_parameter("top_p", 0.9, at_frame=50)
    engine.step(40)
    if kind.frame_conditioning is not None:
        engine.set_attribute("drums", True)
        engine.set_tempo(120.0)
    engine.rollback(37)
    engine.step(100)


def shapes(tensors: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
    return tuple(None if t is None else (tuple(t.shape), t.dtype, t.device.type) for t in tensors)


@pytest.mark.parametrize("name", ["text", "stereo", "melody", "frame"])
def test_blocks_of_a_size_have_the_same_shapes(name: str, engine_of: EngineMaker) -> None:
    engine, stepper = watched(engine_of(name))
    live_session(engine)
    seen = defaultdict(set)
    for block, _, _ in stepper.calls:
        seen[block.num_steps].add(shapes(block.tensors()))
    assert set(seen) <= {1, 2, 4, 8, 16}
    assert all(len(found) == 1 for found in seen.values())


@pytest.mark.parametrize("name", ["text", "melody"])
def test_caches_stay_where_they_are(name: str, engine_of: EngineMaker) -> None:
    engine, stepper = watched(engine_of(name))
    live_session(engine)
    addresses = defaultdict(set)
    for _, cache, cross in stepper.calls:
        buffers = [*cache.keys, *cache.values]
        if cross is not None:
            buffers += [*cross.keys, *cross.values, cross.mask]
        addresses[id(cache)].add(tuple(buffer.data_ptr() for buffer in buffers))
    assert len(stepper.calls) > 20
    assert len(addresses) == 2, "one plays, one is filled behind it"
    assert all(len(found) == 1 for found in addresses.values())


def traced(stepper: Stepper, call: tuple[StepBlock, KVCache, CrossCache | None]) -> str:
    """Trace a block's steps: any look at a tensor's value raises."""
    block, cache, cross = call

    def steps(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        it = iter(inputs)
        restored = [None if tensor is None else next(it) for tensor in block.tensors()]
        return stepper._steps(restored, cache.span(block.first_position), cache, cross)

    with torch.no_grad():
        graph = make_fx(steps)(*[t for t in block.tensors() if t is not None])
    return str(graph.code)


@pytest.mark.parametrize("name", ["melody", "frame"])
def test_steps_never_wait_for_a_value(name: str, engine_of: EngineMaker) -> None:
    engine, stepper = watched(engine_of(name))
    live_session(engine)
    call = next(call for call in stepper.calls if call[0].num_steps == 4)
    code = traced(stepper, call)
    assert "_local_scalar_dense" not in code and "nonzero" not in code
    assert code.count("aten.argmax.default(") == 4


def test_the_trace_would_notice(engine_of: EngineMaker) -> None:
    engine, stepper = watched(engine_of("text"))
    live_session(engine)

    def peeping(tokens: Tensor, *args: Any) -> Tensor:
        return engine.model.lm.step(tokens, *args) * float(tokens[0].item() >= 0)

    with pytest.raises(RuntimeError, match=r"data-dependent|local_scalar"):
        traced(Stepper(engine.model.lm, peeping), stepper.calls[-1])
