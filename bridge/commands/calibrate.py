"""`musicgen-rt calibrate`: how much later than it says an output is heard, by a loopback cable."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.clock.output_latency import write_latency
from bridge.refusal import Refusal
from bridge.settings import data_folder
from musicgen_rt.errors import MusicgenRTError

if TYPE_CHECKING:
    from bridge.clock.loopback import Take

HELP = "measure an output's latency through a cable from it to an input, and keep it"

_OK, _MISUSED, _UNAVAILABLE = 0, 2, 69
_TAKES = 5
_TAIL_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-command's arguments."""
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="a part of its name (default: the default); with --set-ms its whole name",
    )
    parser.add_argument(
        "--set-ms", type=float, metavar="N", help="keep this latency instead of measuring one"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=data_folder(),
        metavar="DIR",
        help="the user's files, as for jam",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure and keep; 69 where nothing comes back."""
    try:
        name, latency = _given(args) if args.set_ms is not None else _measured(args.device)
        path = write_latency(args.data, name, latency)
    except Refusal as refusal:
        print(f"musicgen-rt: {refusal}", file=sys.stderr)
        return _MISUSED
    except (MusicgenRTError, OSError) as error:
        print(f"musicgen-rt: {error}", file=sys.stderr)
        return _UNAVAILABLE
    if args.json:
        print(json.dumps({"device": name, "latency_ms": latency, "file": str(path)}))
    else:
        print(f"{name}: {latency:.2f} ms more than it says; kept in {path}")
    return _OK


def _given(args: argparse.Namespace) -> tuple[str, float]:
    from bridge.clock.output_latency import MAX_LATENCY_MS

    if args.device is None:
        raise Refusal("--set-ms needs --device: expected the name that musicgen-rt devices shows")
    if not abs(args.set_ms) <= MAX_LATENCY_MS:
        raise Refusal(
            f"--set-ms is {args.set_ms:g}: expected -{MAX_LATENCY_MS:g} to {MAX_LATENCY_MS:g}"
        )
    return args.device, args.set_ms


def _measured(wish: str | None) -> tuple[str, float]:
    """The device and its latency in milliseconds. Raises MusicgenRTError."""
    import sounddevice

    from bridge.clock.loopback import LoopbackError, median_latency_ms

    try:
        device = sounddevice.query_devices(wish, "output")
        takes = [_take(sounddevice, wish, device) for _ in range(_TAKES)]
    except (sounddevice.PortAudioError, ValueError) as error:
        raise LoopbackError(
            f"{wish or 'the default device'} cannot play and record: {error}"
        ) from error
    latency = median_latency_ms(takes, lambda one: print(f"  {one:.2f} ms", file=sys.stderr))
    return str(device["name"]), latency


def _take(sounddevice: Any, wish: str | None, device: dict[str, Any]) -> Take:
    """Play the sweep once and record what comes back."""
    import numpy as np

    from bridge.clock.loopback import Take, sweep

    rate_hz = round(device["default_samplerate"])
    wave = sweep(rate_hz)
    out = np.concatenate([wave, np.zeros(round(_TAIL_SECONDS * rate_hz), np.float32)])
    parts: list[Any] = []
    first: list[tuple[float, float]] = []

    def callback(heard: Any, played: Any, frames: int, times: Any, status: Any) -> None:
        del status
        begin = sum(map(len, parts))
        if not first:
            first.append((times.outputBufferDacTime, times.inputBufferAdcTime))
        parts.append(heard[:, 0].copy())
        piece = out[begin : begin + frames]
        played[: len(piece), 0], played[len(piece) :, 0] = piece, 0.0
        if len(piece) < frames:
            raise sounddevice.CallbackStop

    with sounddevice.Stream(
        device=wish, samplerate=rate_hz, channels=1, callback=callback
    ) as stream:
        while stream.active:
            sounddevice.sleep(20)
    ((dac_seconds, adc_seconds),) = first
    return Take(np.concatenate(parts), rate_hz, dac_seconds, adc_seconds)
