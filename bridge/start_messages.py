"""From the configuration to what each part is started with."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path
from typing import Any

from bridge.clock.output_latency import read_latencies
from bridge.config import Config
from bridge.control.control_config import ControlConfig
from bridge.control.session_config import SessionConfig
from bridge.model_format import ModelFormat
from bridge.setting import WAV_PREFIX


def control_config(config: Config) -> ControlConfig:
    """What the servers are told. Raises Refusal for what they cannot do."""
    network = config.network
    return ControlConfig(
        host=network.host,
        osc_port=network.osc_port,
        command_port=network.zmq_port,
        publish_port=network.pub_port,
        http_port=network.http_port,
        is_lan_allowed=network.allow_lan,
        token=network.token or None,
        curve_secret_key_file=network.curve_secret_key,
        curve_client_keys_folder=network.curve_client_keys,
    )


def session_config(config: Config, model_format: ModelFormat) -> SessionConfig:
    """What the session begins with. Raises Refusal for what the protocol's table refuses."""
    scene = config.scene
    data = config.folders.data
    return SessionConfig(
        model=config.model.source,
        bpm=scene.bpm,
        beats_per_bar=scene.beats_per_bar,
        frame_rate_hz=model_format.frame_rate_hz,
        prompts=((scene.prompt, 1.0),) if scene.prompt else (),
        negative=scene.negative or None,
        params={"seed": scene.seed, **dict(scene.params)},
        gain_db=config.output.gain_db,
        is_playing=scene.is_playing,
        inputs_folder=data / "inputs",
        recordings_folder=data / "recordings",
        banks_folder=data / "banks",
        output_latencies_ms=read_latencies(data),
    )


def engine_start(
    config: Config, state: dict[str, Any], resume_folder: Path, *, is_resume: bool
) -> dict[str, Any]:
    """The engine's first message; `state` is the session's part of it."""
    model = config.model
    options: dict[str, Any] = {
        "window_seconds": model.window_seconds,
        "context_seconds": model.context_seconds,
        "compile_step": model.compile,
    }
    return {
        "type": "start",
        "model": model.source,
        "device": model.device,
        "weights": model.weights,
        "threads": model.threads or None,
        "options": {name: value for name, value in options.items() if value is not None},
        "resume_folder": str(resume_folder),
        "is_resume": is_resume,
        **state,
    }


def playout_start(
    config: Config, state: dict[str, Any], model_format: ModelFormat, *, is_again: bool
) -> dict[str, Any]:
    """The playout's first message; `state` is the session's part of it.

    One that takes another's place (`is_again`) leaves that one's file as it is: it writes the next.
    """
    output = config.output
    return {
        "type": "start",
        "output": _next_output(output.output) if is_again else output.output,
        "device_name": output.device or None,
        "hop_samples": model_format.hop_samples,
        "ceiling_db": output.ceiling_db,
        "horizon_ms": output.horizon_ms,
        "block": output.block_frames,
        "pace": output.pace,
        **state,
        "pcm": output.pcm or bool(state.get("pcm")),
    }


def _next_output(output: str) -> str:
    """`wav:jam.wav` as `wav:jam-2.wav`, the first such file that is not there yet."""
    if not output.startswith(WAV_PREFIX):
        return output
    path = Path(output.removeprefix(WAV_PREFIX))
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    candidates = chain((path,), numbered)
    return WAV_PREFIX + str(next(one for one in candidates if not one.exists()))
