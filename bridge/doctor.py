"""Is this machine ready to play? Each check finds what is so, and says what to do otherwise."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bridge.config import Config
from bridge.doctor_probes import COMPUTE_PROBE, SOUND_PROBE, ask, installed_version, port_trouble
from bridge.lock import AlreadyRunningError, DaemonLock
from bridge.midi_backend import RtMidiBackend
from bridge.model_format import POCKET, checkpoint_folder, hub_cache
from musicgen_rt.errors import MusicgenRTError

MIN_FREE_BYTES: Final = 1 << 30

PACKAGES: Final = (
    "torch",
    "torchaudio",
    "transformers",
    "numpy",
    "soundfile",
    "soxr",
    "sounddevice",
    "rtmixer",
    "pyzmq",
    "aiohttp",
    "mido",
    "python-rtmidi",
)


class Verdict(StrEnum):
    """How a check came out."""

    GOOD = "good"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A note is worth knowing, a problem keeps from playing."""

    part: str
    verdict: Verdict
    text: str
    remedy: str = ""


Check = Callable[[Config], Iterator[Finding]]


def findings(config: Config) -> Iterator[Finding]:
    """All findings, as they are made."""
    for check in CHECKS:
        yield from check(config)


def check_libraries(config: Config) -> Iterator[Finding]:
    """Python, and the packages that the daemon is built on."""
    here = ".".join(map(str, sys.version_info[:3]))
    absent = [name for name in PACKAGES if installed_version(name) is None]
    if absent:
        yield Finding(
            "libraries",
            Verdict.PROBLEM,
            f"not installed: {', '.join(absent)}",
            "in a clone `make setup`, elsewhere `pip install musicgen-rt`",
        )
    main = ("torch", "transformers", "numpy")
    shown = ", ".join(f"{name} {installed_version(name)}" for name in main)
    yield Finding("libraries", Verdict.GOOD, f"Python {here}, {shown}")


def check_compute(config: Config) -> Iterator[Finding]:
    """What the model can run on."""
    found = ask(COMPUTE_PROBE)
    if isinstance(found, str):
        yield Finding("compute", Verdict.PROBLEM, f"torch cannot be used: {found}", "`make setup`")
        return
    for name, memory_bytes in found["cuda"]:
        yield Finding("compute", Verdict.GOOD, f"{name}, {memory_bytes / 2**30:.0f} GiB")
    if found["mps"]:
        yield Finding("compute", Verdict.GOOD, "Apple GPU (mps)")
    if not found["cuda"] and not found["mps"]:
        is_asked_for = config.model.device in ("cuda", "mps")
        yield Finding(
            "compute",
            Verdict.PROBLEM if is_asked_for else Verdict.NOTE,
            f"no GPU: {os.cpu_count()} processor cores, {found['threads']} threads",
            "the pocket model plays on a processor, MusicGen's own checkpoints want a GPU; "
            "`musicgen-rt bench` tells what is fast enough here",
        )


def check_sound(config: Config) -> Iterator[Finding]:
    """Sound devices."""
    if config.output.output not in ("device", "jack"):
        yield Finding("sound", Verdict.GOOD, f"not needed: the output is {config.output.output}")
        return
    found = ask(SOUND_PROBE)
    if isinstance(found, str):
        yield Finding(
            "sound",
            Verdict.PROBLEM,
            f"PortAudio cannot be used: {found}",
            "Debian and Ubuntu: sudo apt-get install libportaudio2",
        )
        return
    devices = found["devices"]
    if not devices:
        yield Finding(
            "sound",
            Verdict.NOTE,
            "no sound device: `jam` plays in real time to nobody, and takes one that appears",
            "plug one in, or start JACK or PipeWire; `--output wav:FILE` writes a file",
        )
        return
    wanted = config.output.device
    if wanted and not any(wanted.lower() in name.lower() for name in devices):
        yield Finding(
            "sound",
            Verdict.PROBLEM,
            f"no device named {wanted!r}: there are {', '.join(devices)}",
            "choose one of these with --device",
        )
        return
    default = found["default"] or devices[0]
    yield Finding("sound", Verdict.GOOD, f"{len(devices)} devices; the default is {default}")


def check_ports(config: Config) -> Iterator[Finding]:
    """The ports that the daemon listens on."""
    try:
        with DaemonLock(config.network.osc_port):
            pass
    except AlreadyRunningError as error:
        yield Finding("ports", Verdict.NOTE, str(error))
        return
    except (MusicgenRTError, OSError) as error:
        yield Finding("ports", Verdict.PROBLEM, f"the lock cannot be taken: {error}")
    network = config.network
    named = (
        ("OSC (UDP)", "osc_port", socket.SOCK_DGRAM),
        ("OSC (TCP)", "osc_port", socket.SOCK_STREAM),
        ("ZeroMQ commands", "zmq_port", socket.SOCK_STREAM),
        ("ZeroMQ events", "pub_port", socket.SOCK_STREAM),
        ("HTTP", "http_port", socket.SOCK_STREAM),
    )
    free = []
    for name, key, kind in named:
        port = getattr(network, key)
        trouble = port_trouble(port, kind)
        if trouble is None:
            free.append(f"{name} {port}")
            continue
        yield Finding(
            "ports",
            Verdict.PROBLEM,
            f"{name}, port {port}: {trouble}",
            f"end the program that holds it, or choose another with --{key.replace('_', '-')}",
        )
    if free:
        yield Finding("ports", Verdict.GOOD, f"free: {', '.join(free)}")


def check_midi(config: Config) -> Iterator[Finding]:
    """MIDI inputs."""
    if not config.midi.is_on:
        yield Finding("midi", Verdict.GOOD, "not needed: it is turned off")
        return
    try:
        names = RtMidiBackend(config.midi.api).names()
    except (MusicgenRTError, ImportError) as error:
        yield Finding("midi", Verdict.NOTE, str(error))
        return
    yield Finding("midi", Verdict.GOOD, f"inputs: {', '.join(names) or 'none plugged in'}")


def check_model(config: Config) -> Iterator[Finding]:
    """The checkpoint."""
    source = config.model.source
    folder = checkpoint_folder(source)
    if folder is not None and (folder / "config.json").is_file():
        yield Finding("model", Verdict.GOOD, f"{source}: {folder}")
    elif source == POCKET:
        yield Finding(
            "model",
            Verdict.PROBLEM,
            "the pocket model is not in this installation",
            "install musicgen-rt again, or name another with --model",
        )
    elif source.count("/") == 1 and folder is None and not source.startswith((".", "~", "/")):
        yield Finding(
            "model",
            Verdict.NOTE,
            f"{source} is not in the cache {hub_cache()}: it is downloaded at the first start",
            f"to do it now: musicgen-rt render --model {source} --seconds 1 --out first.wav",
        )
    else:
        yield Finding(
            "model",
            Verdict.PROBLEM,
            f"{source}: no checkpoint there (a folder with config.json)",
            "give the folder of a checkpoint, a Hugging Face id, or pocket",
        )


def check_folders(config: Config) -> Iterator[Finding]:
    """Where recordings and banks are written."""
    folder = config.folders.data
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        # A trial: rights, read-only systems and quotas have too many ways to refuse.
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        text = f"{folder} cannot be written ({error.strerror or error})"
        yield Finding("folders", Verdict.PROBLEM, text, "choose another with --data")
        return
    free_bytes = shutil.disk_usage(place).free
    is_short = free_bytes < MIN_FREE_BYTES
    yield Finding(
        "folders",
        Verdict.NOTE if is_short else Verdict.GOOD,
        f"{folder}: {free_bytes / 2**30:.1f} GiB free",
        "an hour of recording takes 0.7 GB or more" if is_short else "",
    )


CHECKS: Final[tuple[Check, ...]] = (
    check_libraries,
    check_compute,
    check_sound,
    check_ports,
    check_midi,
    check_model,
    check_folders,
)
