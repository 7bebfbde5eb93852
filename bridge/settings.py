"""The daemon's settings: one frozen class a section of the configuration."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from bridge.levels import GAIN_RANGE_DB
from bridge.setting import (
    CcBinding,
    Setting,
    parse_commands,
    parse_controllers,
    parse_names,
    parse_output,
    parse_parameters,
    parse_path,
)
from musicgen_rt.contract.timeline import BEATS_PER_BAR_RANGE, BPM_RANGE

MIDI_APIS: Final = ("auto", "alsa", "jack", "coremidi", "winmm")
HIGHEST_PORT: Final = 65535


@dataclass(frozen=True)
class ModelConfig:
    """Which model plays, and on what."""

    source: Annotated[
        str,
        Setting("pocket, a Hugging Face id or a folder", flag="--model", metavar="pocket|ID|DIR"),
    ] = "pocket"
    device: Annotated[
        str,
        Setting("what computes", choices=("auto", "cpu", "cuda", "mps"), flag="--compute-device"),
    ] = "auto"
    weights: Annotated[
        str,
        Setting(
            "the weights' format",
            choices=("auto", "fp32", "bf16", "fp16", "int8", "int4"),
            flag="--weights",
        ),
    ] = "auto"
    compile: Annotated[
        bool,
        Setting("on a CPU, a step compiled for it, once and in a few seconds", flag="--no-compile"),
    ] = True
    threads: Annotated[
        int,
        Setting("processor threads of the engine; 0 chooses", low=0, high=1024, flag="--threads"),
    ] = 0
    window_seconds: Annotated[
        float | None, Setting("what the model sees; left out: its own", low=1, high=600)
    ] = None
    context_seconds: Annotated[
        float | None, Setting("what a roll of the window keeps", low=0.4, high=600)
    ] = None


@dataclass(frozen=True)
class OutputConfig:
    """Where the sound goes."""

    output: Annotated[
        str,
        Setting(
            "device (the sound card), jack, null (real time, unheard), wav:FILE or none",
            flag="--output",
            metavar="device|jack|null|wav:FILE|none",
            parse=parse_output,
        ),
    ] = "device"
    device: Annotated[
        str, Setting("the sound device's name or a part of it", flag="--device", metavar="NAME")
    ] = ""
    gain_db: Annotated[
        float,
        Setting("loudness", low=GAIN_RANGE_DB[0], high=GAIN_RANGE_DB[1], flag="--gain-db"),
    ] = 0.0
    ceiling_db: Annotated[float, Setting("no sample is louder, in dBFS", low=-24, high=0)] = -1.0
    horizon_ms: Annotated[
        float, Setting("how much is committed to the device", low=20, high=1000)
    ] = 60.0
    block_frames: Annotated[
        int, Setting("frames a period of the device; 0 leaves it to the device", low=0, high=8192)
    ] = 0
    pace: Annotated[
        str,
        Setting(
            "whose clock the music keeps to: the sound card's, or by resampling this machine's",
            choices=("device", "host"),
        ),
    ] = "device"
    pcm: Annotated[bool, Setting("publish the sound over ZeroMQ", flag="--pcm")] = False


@dataclass(frozen=True)
class NetworkConfig:
    """Where commands come in."""

    host: Annotated[str, Setting("the address to listen on", flag="--host")] = "localhost"
    osc_port: Annotated[
        int,
        Setting(
            "OSC, UDP and TCP; 0 takes a free one", low=0, high=HIGHEST_PORT, flag="--osc-port"
        ),
    ] = 9120
    zmq_port: Annotated[
        int, Setting("ZeroMQ commands", low=0, high=HIGHEST_PORT, flag="--zmq-port")
    ] = 9121
    pub_port: Annotated[
        int, Setting("ZeroMQ events and PCM", low=0, high=HIGHEST_PORT, flag="--pub-port")
    ] = 9122
    http_port: Annotated[
        int, Setting("OSCQuery, health, metrics", low=0, high=HIGHEST_PORT, flag="--http-port")
    ] = 9123
    allow_lan: Annotated[
        bool, Setting("allow a host beyond this machine (needs token and keys)", flag="--allow-lan")
    ] = False
    token: Annotated[str, Setting("shared secret of OSC and HTTP beyond this machine")] = ""
    curve_secret_key: Annotated[
        Path | None, Setting("the ZeroMQ server's secret key file", parse=parse_path)
    ] = None
    curve_client_keys: Annotated[
        Path | None, Setting("the folder of the clients' public keys", parse=parse_path)
    ] = None


@dataclass(frozen=True)
class SceneConfig:
    """What plays at once."""

    prompt: Annotated[str, Setting("what to play", flag="--prompt", metavar="TEXT")] = (
        "warm house groove with a round bass"
    )
    negative: Annotated[
        str, Setting("what to move away from", flag="--negative", metavar="TEXT")
    ] = ""
    bpm: Annotated[float, Setting("tempo", low=BPM_RANGE[0], high=BPM_RANGE[1], flag="--bpm")] = (
        120.0
    )
    beats_per_bar: Annotated[
        int,
        Setting(
            "metre",
            low=BEATS_PER_BAR_RANGE[0],
            high=BEATS_PER_BAR_RANGE[1],
            flag="--beats-per-bar",
        ),
    ] = 4
    seed: Annotated[int, Setting("same seed, same music", low=0, high=2**31 - 1, flag="--seed")] = 0
    is_playing: Annotated[bool, Setting("begin to play by itself", flag="--no-play")] = True
    params: Annotated[
        tuple[tuple[str, float], ...],
        Setting("parameters to begin with, as in { cfg = 3 }", parse=parse_parameters),
    ] = ()
    commands: Annotated[
        tuple[tuple[Any, ...], ...],
        Setting("further commands, executed at the start", parse=parse_commands),
    ] = ()


@dataclass(frozen=True)
class MidiConfig:
    """Which MIDI comes in, and what its controllers move."""

    is_on: Annotated[bool, Setting("listen to MIDI", flag="--no-midi")] = True
    api: Annotated[
        str, Setting("the system's MIDI to use", choices=MIDI_APIS, flag="--midi-api")
    ] = "auto"
    virtual_port: Annotated[
        str, Setting("a port of this name for other programs to connect to; empty: none")
    ] = "musicgen-rt"
    inputs: Annotated[
        tuple[str, ...],
        Setting("devices to open: names, parts of names, or *", parse=parse_names),
    ] = ("*",)
    channel: Annotated[int, Setting("the channel to listen to; 0 is all", low=0, high=16)] = 0
    cc: Annotated[
        tuple[CcBinding, ...],
        Setting('controllers, as in { 74 = "temperature" }', parse=parse_controllers),
    ] = ()
    rescan_seconds: Annotated[
        float, Setting("how often to look for new devices", low=0.2, high=60)
    ] = 2.0
    clock_out: Annotated[
        bool, Setting("send MIDI clock, start and stop", flag="--midi-clock-out")
    ] = False
    clock_port: Annotated[
        str, Setting("the output to send it to: a part of its name; empty: a port of our own")
    ] = ""


@dataclass(frozen=True)
class LogConfig:
    """What is told, and how."""

    json_file: Annotated[
        Path | None,
        Setting(
            "append JSON lines to this file", flag="--json-log", metavar="FILE", parse=parse_path
        ),
    ] = None
    is_verbose: Annotated[bool, Setting("tell more", flag="--verbose")] = False
    view: Annotated[bool, Setting("show the live view in a terminal", flag="--no-view")] = True
    line_seconds: Annotated[
        float, Setting("elsewhere: a line every so often; 0 is none", low=0, high=3600)
    ] = 10.0


@dataclass(frozen=True)
class SupervisionConfig:
    """How long a child process may be silent before it counts as hung."""

    engine_seconds: Annotated[float, Setting("a playing engine", low=0.5, high=120)] = 3.0
    engine_load_seconds: Annotated[float, Setting("a loading engine", low=5, high=3600)] = 120.0
    playout_seconds: Annotated[float, Setting("a playing playout", low=0.25, high=60)] = 1.5
    playout_start_seconds: Annotated[float, Setting("a starting playout", low=1, high=600)] = 15.0


def data_folder() -> Path:
    """Where the user's recordings, banks and inputs lie unless told otherwise."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "musicgen-rt"
    given = os.environ.get("XDG_DATA_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".local" / "share"
    return base / "musicgen-rt"


@dataclass(frozen=True)
class FolderConfig:
    """Where the user's files lie: recordings, banks and inputs are folders in `data`."""

    data: Annotated[
        Path, Setting("the user's files", flag="--data", metavar="DIR", parse=parse_path)
    ] = field(default_factory=data_folder)
