"""The devices that can play, and which of them a name means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bridge.playout.output import DeviceError

JACK = "JACK Audio Connection Kit"

# Where one device is offered by several: those made for music first.
_HOST_APIS = (JACK, "ASIO", "Core Audio", "Windows WASAPI", "Windows WDM-KS", "ALSA")


@dataclass(frozen=True)
class Device:
    """An output device as PortAudio names it; `index` holds until PortAudio looks anew."""

    index: int
    name: str
    host_api: str
    channels: int
    rate_hz: int
    is_default: bool


@dataclass(frozen=True)
class DeviceWish:
    """What the user asked for; None leaves the choice to the system."""

    name: str | None = None
    is_jack: bool = False
    block_frames: int = 0
    rate_hz: int | None = None
    channels: int | None = None

    def named(self, name: str | None) -> DeviceWish:
        """The same wish for another device."""
        return replace(self, name=name)


def list_devices() -> list[Device]:
    """All devices that can play, as they were when PortAudio last looked.

    Raises DeviceError where PortAudio is not installed, or could not begin.
    """
    sounddevice = portaudio()
    try:
        return _known_devices(sounddevice)
    except sounddevice.PortAudioError as error:
        raise DeviceError(f"the audio drivers do not say what there is: {error}") from error


def choose(devices: Sequence[Device], wish: DeviceWish) -> Device:
    """The device that is meant: by its whole name, else by a part of it.

    Raises DeviceError if there is none, or several in one driver.
    """
    offered = [d for d in devices if d.host_api == JACK] if wish.is_jack else list(devices)
    if not offered:
        raise DeviceError(
            "no JACK server runs: start it, or choose another output"
            if wish.is_jack
            else "no audio device was found: connect one, or play to the null output"
        )
    if wish.name is None:
        return next((d for d in offered if d.is_default), offered[0])
    name = wish.name.casefold()
    found = [d for d in offered if d.name.casefold() == name]
    if not found:
        found = [d for d in offered if name in f"{d.name}, {d.host_api}".casefold()]
    found.sort(key=lambda d: _rank(d.host_api))
    best = [d for d in found if d.host_api == found[0].host_api]
    if len(best) == 1:
        return best[0]
    names = ", ".join(repr(d.name) for d in (best or offered))
    problem = "several devices are" if best else "no device is"
    raise DeviceError(f"{problem} named {wish.name!r}: there are {names}")


def portaudio() -> Any:
    """The sounddevice module. Importing it asks all drivers, and waits for those that hang."""
    try:
        import sounddevice
    except OSError as error:  # the library itself is missing
        raise DeviceError(
            f"PortAudio cannot be loaded ({error}): install it (Debian: libportaudio2)"
        ) from error
    # It begins at its import; its own error class is not there if that fails.
    except Exception as error:
        raise DeviceError(f"the audio drivers do not begin: {error}") from error
    return sounddevice


def _known_devices(sounddevice: Any) -> list[Device]:
    host_apis = sounddevice.query_hostapis()
    default = sounddevice.default.device[1]
    if default < 0:
        default = next((api["default_output_device"] for api in host_apis), -1)
    return [
        Device(
            index=index,
            name=device["name"],
            host_api=host_apis[device["hostapi"]]["name"],
            channels=device["max_output_channels"],
            rate_hz=round(device["default_samplerate"]),
            is_default=index == default,
        )
        for index, device in enumerate(sounddevice.query_devices())
        if device["max_output_channels"] > 0
    ]


def _rank(host_api: str) -> int:
    return _HOST_APIS.index(host_api) if host_api in _HOST_APIS else len(_HOST_APIS)


if __name__ == "__main__":
    print(json.dumps([asdict(device) for device in list_devices()]))
